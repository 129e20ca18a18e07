"""Errors that a person is meant to read."""


class HoldfastError(Exception):
    """One that a command prints as a line, without a traceback."""


class ConfigurationError(HoldfastError):
    """A setting is missing or wrong."""


class PreflightError(HoldfastError):
    """A check before a migration failed; nothing was changed."""
