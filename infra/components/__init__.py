"""What is in the cloud: one component a file."""
