"""What stops the references from being made."""

from runtime.errors import HoldfastError


class DocumentationError(HoldfastError):
    """The code does not say enough, or the files are stale; the message says what to do."""
