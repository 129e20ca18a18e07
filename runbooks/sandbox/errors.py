"""What stops the sandbox."""

from runtime.errors import HoldfastError


class SandboxError(HoldfastError):
    """The sandbox cannot do what was asked; the message says why, and what helps."""
