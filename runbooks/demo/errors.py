"""What stops the demonstration."""

from runtime.errors import HoldfastError


class DemoError(HoldfastError):
    """The demonstration cannot go on; the message says why. A difference that it finds is a verdict, not an error."""
