"""What the API refuses, in Google's JSON shape, and how an operation fails."""

import re
from http import HTTPStatus
from typing import Any

# Reasons for what is not there.
OPERATION, BACKUP, BACKUP_RUN, DATABASE, USER, SSL_CERT, METHOD = (
    f"{what}DoesNotExist" for what in ("operation", "backup", "backupRun", "database", "user", "sslCert", "method")
)
# Codes of operations that failed.
INTERNAL = "INTERNAL_ERROR"
RDBMS = "ERROR_RDBMS"
NO_BACKUP = "ERROR_BACKUP_NOT_FOUND"


class ApiError(Exception):
    """A refused call. Nothing was changed."""

    def __init__(self, status: HTTPStatus, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

    @property
    def body(self) -> dict[str, Any]:
        """As Google writes it."""
        message = str(self)
        return {
            "error": {
                "code": int(self.status),
                "message": message,
                "errors": [{"message": message, "domain": "global", "reason": self.reason}],
            }
        }


class OperationFailedError(Exception):
    """Why an operation ends in an error: a code, and words for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OperationCancelledError(OperationFailedError):
    """Somebody cancelled it."""

    def __init__(self) -> None:
        super().__init__("OPERATION_CANCELLED", "The operation was cancelled.")


def invalid_request(message: str) -> ApiError:
    """What was sent can never work."""
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST", f"Invalid request: {message}")


def invalid_operation(message: str) -> ApiError:
    """It cannot be done with this instance as it is set up."""
    return ApiError(HTTPStatus.BAD_REQUEST, "INVALID_OPERATION", message)


def backup_not_found() -> ApiError:
    """The backup to restore is not there."""
    return ApiError(HTTPStatus.BAD_REQUEST, NO_BACKUP, "The backup run was not found.")


def unauthenticated() -> ApiError:
    """There is no bearer token."""
    return ApiError(
        HTTPStatus.UNAUTHORIZED,
        "required",
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
    )


def not_authorized() -> ApiError:
    """What a missing instance answers, so that nobody learns what exists."""
    return ApiError(HTTPStatus.FORBIDDEN, "notAuthorized", "The client is not authorized to make this request.")


def not_found(reason: str) -> ApiError:
    """Something inside a project or an instance that is there.

    Args:
        reason: such as `userDoesNotExist`.
    """
    what = re.sub("([A-Z])", r" \1", reason.removesuffix("DoesNotExist")).lower()
    return ApiError(HTTPStatus.NOT_FOUND, reason, f"The {what} does not exist.")


def already_exists() -> ApiError:
    """The name is taken, or was within a week."""
    return ApiError(
        HTTPStatus.CONFLICT,
        "instanceAlreadyExists",
        "The Cloud SQL instance already exists. When you delete an instance, you can't reuse the name of the deleted "
        "instance until one week from the deletion date.",
    )


def operation_in_progress() -> ApiError:
    """One administrative operation at a time."""
    return ApiError(
        HTTPStatus.CONFLICT,
        "operationInProgress",
        "Operation failed because another operation was already in progress. Try your request after the current "
        "operation is complete.",
    )


def invalid_state(message: str) -> ApiError:
    """Not in the state that it is in now."""
    return ApiError(HTTPStatus.CONFLICT, "invalidState", message)


def stale_data() -> ApiError:
    """The settings are not those that the caller read."""
    return ApiError(
        HTTPStatus.PRECONDITION_FAILED,
        "staleData",
        "The settingsVersion is not the current one. Read the instance again.",
    )


def not_implemented(method: str, field: str | None = None) -> ApiError:
    """The sandbox does not do this, and says so rather than pretend."""
    what = f"{method} with {field}" if field else method
    return ApiError(HTTPStatus.NOT_IMPLEMENTED, "notImplemented", f"The sandbox does not implement {what}.")


REASONS = {
    HTTPStatus.BAD_REQUEST: "INVALID_REQUEST",
    HTTPStatus.UNAUTHORIZED: "authError",
    HTTPStatus.FORBIDDEN: "notAuthorized",
    HTTPStatus.CONFLICT: "operationInProgress",
    HTTPStatus.PRECONDITION_FAILED: "staleData",
    HTTPStatus.TOO_MANY_REQUESTS: "rateLimitExceeded",
    HTTPStatus.INTERNAL_SERVER_ERROR: "internalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "serviceUnavailable",
}


def by_status(status: int) -> ApiError:
    """The usual error of a status, for faults."""
    known = HTTPStatus(status)
    if known is HTTPStatus.CONFLICT:
        return operation_in_progress()
    if known is HTTPStatus.PRECONDITION_FAILED:
        return stale_data()
    return ApiError(known, REASONS.get(known, "backendError"), known.description or known.phrase)
