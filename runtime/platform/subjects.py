"""What a principal may be called: other tables store it as the user."""

# The narrowest of their columns.
SUBJECT_LENGTH = 100


def is_subject(text: str) -> bool:
    """Whether every table can hold it, and a person can read it."""
    return bool(text.strip()) and len(text) <= SUBJECT_LENGTH and text.isprintable()
