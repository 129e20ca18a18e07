"""What keeps an operator out."""

from runtime.errors import HoldfastError


class ConnectError(HoldfastError):
    """There is no way in; the message says why, and what helps."""
