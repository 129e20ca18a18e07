"""The operator's commands over the engine and the procedures."""
