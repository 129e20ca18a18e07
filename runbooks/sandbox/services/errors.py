"""What a service refuses, in Google's JSON shape."""

from http import HTTPStatus
from typing import Any

# The names of google.rpc.Code, with the HTTP status that each travels under and its number.
CODES = {
    "CANCELLED": (499, 1),
    "UNKNOWN": (500, 2),
    "INVALID_ARGUMENT": (400, 3),
    "DEADLINE_EXCEEDED": (504, 4),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "PERMISSION_DENIED": (403, 7),
    "RESOURCE_EXHAUSTED": (429, 8),
    "FAILED_PRECONDITION": (400, 9),
    "ABORTED": (409, 10),
    "UNIMPLEMENTED": (501, 12),
    "INTERNAL": (500, 13),
    "UNAVAILABLE": (503, 14),
    "UNAUTHENTICATED": (401, 16),
}


class ServiceError(Exception):
    """A refused call, or why an operation ended in an error.

    Args:
        code: its name.
        message: what is wrong.
        http_status: under which it is answered; the code's own without.
    """

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status: int = http_status or CODES[code][0]

    @property
    def body(self) -> dict[str, Any]:
        """As Google answers it."""
        return {"error": {"code": self.http_status, "message": str(self), "status": self.code}}

    @property
    def status(self) -> dict[str, Any]:
        """As an operation or a job keeps it: google.rpc.Status."""
        return {"code": CODES[self.code][1], "message": str(self)}


def invalid(message: str) -> ServiceError:
    """What was sent can never work."""
    return ServiceError("INVALID_ARGUMENT", message)


def not_found(message: str) -> ServiceError:
    """There is none of that name."""
    return ServiceError("NOT_FOUND", message)


def precondition(message: str) -> ServiceError:
    """Not in the state that it is in now."""
    return ServiceError("FAILED_PRECONDITION", message)


def aborted(message: str) -> ServiceError:
    """Somebody else changed it meanwhile."""
    return ServiceError("ABORTED", message)


def absent(what: str) -> ServiceError:
    """The sandbox does not do this, and says so rather than pretend."""
    return ServiceError("UNIMPLEMENTED", f"The sandbox does not implement {what}.")


def unauthenticated() -> ServiceError:
    """There is no bearer token."""
    return ServiceError(
        "UNAUTHENTICATED",
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
    )


def by_status(http_status: int) -> ServiceError:
    """The usual error of a status, for faults."""
    known = HTTPStatus(http_status)
    return ServiceError(code_of(http_status), known.description or known.phrase, http_status)


def code_of(http_status: int) -> str:
    """The code that stands for what an HTTP server answered."""
    known = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    known |= {409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE"}
    known |= {504: "DEADLINE_EXCEEDED"}
    return known.get(http_status, "INTERNAL" if http_status >= HTTPStatus.INTERNAL_SERVER_ERROR else "UNKNOWN")
