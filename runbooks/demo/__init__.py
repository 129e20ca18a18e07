"""`holdfast demo`: real input through the running platform, and what came out, claim by claim."""
