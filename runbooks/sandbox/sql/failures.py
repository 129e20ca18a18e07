"""What callers read of an operation that failed."""

from runbooks.sandbox.engine.errors import (
    ArchiveGapError,
    BackupCorruptedError,
    TargetBeforeBackupError,
    TargetNotReachedError,
)
from runbooks.sandbox.sql.errors import INTERNAL, ApiError, OperationFailedError
from runtime.errors import HoldfastError

CODES: dict[type[Exception], str] = {
    BackupCorruptedError: "ERROR_BACKUP_CORRUPTED",
    ArchiveGapError: "ERROR_LOG_GAP",
    TargetBeforeBackupError: "INVALID_POINT_IN_TIME",
    TargetNotReachedError: "INVALID_POINT_IN_TIME",
}


def is_expected(error: Exception) -> bool:
    """Whether it is told to callers as it is; all else is a defect of the sandbox."""
    return isinstance(error, HoldfastError | OperationFailedError | ApiError | OSError)


def code_of(error: Exception) -> str:
    """The code of an operation's error."""
    if isinstance(error, OperationFailedError):
        return error.code
    return CODES.get(type(error), INTERNAL)
