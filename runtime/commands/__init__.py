"""The command line: thin commands over functions that tests call too."""
