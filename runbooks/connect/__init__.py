"""The operator's way into an environment's database."""
