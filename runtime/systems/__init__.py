"""One package a system, with the same file names in each."""
