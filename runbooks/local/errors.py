"""What stops the local platform."""

from runtime.errors import HoldfastError


class LocalPlatformError(HoldfastError):
    """The local platform cannot do what was asked; the message says why, and what helps."""


def first_line(error: BaseException) -> str:
    """The first line of another library's message, which is enough for a person."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
