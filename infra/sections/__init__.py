"""The settings of one component a file."""
