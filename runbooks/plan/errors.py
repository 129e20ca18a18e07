"""What ends a plan."""

from runtime.errors import HoldfastError


class PlanError(HoldfastError):
    """The program cannot be evaluated; the message says why. Nothing was planned."""
