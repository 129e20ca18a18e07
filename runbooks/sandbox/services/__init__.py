"""What stands beside Cloud SQL, as far as procedures and jobs use it: one service a module."""
