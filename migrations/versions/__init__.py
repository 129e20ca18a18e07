"""One file a revision; its name begins with the revision."""
