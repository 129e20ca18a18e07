"""What the platform says of itself: figures, merged over an instance's workers, and traces."""
