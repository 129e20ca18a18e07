"""The cache in front of reads: what it may answer, and what happens when it cannot."""
