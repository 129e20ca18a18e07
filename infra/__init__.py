"""What exists in the cloud."""
