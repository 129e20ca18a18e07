"""Errors that a person is meant to read."""


class HoldfastError(Exception):
    """One that a command prints as a line, without a traceback."""


class ConfigurationError(HoldfastError):
    """A setting is missing or wrong."""


class PreflightError(HoldfastError):
    """A check before a migration failed; nothing was changed."""


def first_line(error: BaseException) -> str:
    """The first line of another library's message, which is enough for a person."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
