"""What the engine cannot do, in words for a person."""

from runbooks.sandbox.errors import SandboxError


class EngineError(SandboxError):
    """PostgreSQL could not do what was asked; the message says why."""


class InvalidFlagsError(EngineError):
    """The server does not take these flags; it runs on with the former ones."""


class BackupCorruptedError(EngineError):
    """A backup is not what was taken."""


class ArchiveGapError(EngineError):
    """The archive lacks a piece of the log, so what comes after it cannot be recovered."""


class TargetBeforeBackupError(EngineError):
    """The moment is before the end of the backup from which recovery would start."""


class TargetNotReachedError(EngineError):
    """The moment is after the last one that the archive holds."""
