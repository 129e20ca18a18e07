"""What is looked at, and who is told."""
