"""What stops the local platform."""

from runtime.errors import HoldfastError


class LocalPlatformError(HoldfastError):
    """The local platform cannot do what was asked; the message says why, and what helps."""
