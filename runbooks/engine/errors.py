"""What ends a procedure."""

from pydantic import ValidationError

from runtime.errors import HoldfastError


class RunbookError(HoldfastError):
    """A procedure cannot be run as asked; the message says why, and what helps."""


class RefusedError(RunbookError):
    """A precondition does not hold. Nothing was changed."""


class DeclinedError(RunbookError):
    """Whoever was asked did not say yes."""


class UndeclaredCallError(RunbookError):
    """A step was about to do what it does not declare: a defect of the procedure. It was not done."""


class FailedError(RunbookError):
    """A step ended in an outcome that is known.

    Attributes:
        code: its name, by which a step declares what undoes it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def told(error: ValidationError) -> str:
    """Each field and what is wrong with it, in a line."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'all of it'}: {_sentence(fault['msg'])}" for fault in error.errors()
    )


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
