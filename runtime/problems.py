"""What goes wrong for a caller, as RFC 9457 problem documents. Each class documents itself in OpenAPI."""

import json
from http import HTTPStatus
from typing import Any, ClassVar, Self

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:holdfast:problem:"
RETRY_AFTER_SECONDS = 5


class FieldError(BaseModel):
    """One field that was refused."""

    field: str = Field(examples=["end_block"])
    message: str = Field(examples=["must not be less than start_block"])


class ProblemDocument(BaseModel):
    """An error, for people and for programs (RFC 9457)."""

    type: str = Field(description="Identifies the kind of problem.", examples=["urn:holdfast:problem:not-found"])
    title: str = Field(examples=["There is no such thing"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["experiment 'exp-1' does not exist"])
    request_id: str = Field(description="Quote it when you ask for help; the log has it.")
    errors: list[FieldError] | None = Field(default=None, description="Every field that was refused.")


class Problem(Exception):  # noqa: N818  # RFC 9457 calls it a problem
    """Base of all problems. A subclass gives status, code and title; an instance the detail."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self, detail: str, *, errors: list[FieldError] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    @classmethod
    def of(cls, *, field: str, message: str) -> Self:
        """A problem with one field."""
        return cls(f"{field}: {message}", errors=[FieldError(field=field, message=message)])

    def document(self, request_id: str) -> bytes:
        """The body of the answer."""
        return (
            ProblemDocument(
                type=TYPE_PREFIX + self.code,
                title=self.title,
                status=self.status,
                detail=self.detail,
                request_id=request_id,
                errors=self.errors,
            )
            .model_dump_json(exclude_none=True)
            .encode()
        )


class InvalidInput(Problem):
    """The request cannot be carried out as it is written."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid-input"
    title = "The request has fields that cannot be accepted"


class InvalidCursor(InvalidInput):
    """The cursor is not one that this list gave out."""

    code = "invalid-cursor"
    title = "The cursor does not belong to this list"


class Unauthenticated(Problem):
    """No credential, or one that does not work."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"
    title = "A credential is needed"

    def __init__(self, detail: str, *, bearer_error: str | None = None) -> None:
        error = f', error="{bearer_error}"' if bearer_error else ""
        super().__init__(
            detail, headers={"WWW-Authenticate": f'ApiKey realm="holdfast", Bearer realm="holdfast"{error}'}
        )


class Forbidden(Problem):
    """The credential works, but not for this."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"
    title = "The credential does not allow this"


class NotFound(Problem):
    """What the path names does not exist."""

    status = HTTPStatus.NOT_FOUND
    code = "not-found"
    title = "There is no such thing"


class MethodNotAllowed(Problem):
    """The path exists, for other methods."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method-not-allowed"
    title = "The path does not take this method"


class Conflict(Problem):
    """The request does not fit the state of things."""

    status = HTTPStatus.CONFLICT
    code = "conflict"
    title = "The request conflicts with what is there"


class AlreadyExists(Conflict):
    """The id is taken."""

    code = "already-exists"
    title = "The id is taken"


class IllegalTransition(Conflict):
    """The status cannot change in this way."""

    code = "illegal-transition"
    title = "The status cannot change in this way"


class IdempotencyConflict(Conflict):
    """A call with this Idempotency-Key is under way."""

    code = "idempotency-key-in-flight"
    title = "A call with this Idempotency-Key is under way"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class IdempotencyMismatch(InvalidInput):
    """The Idempotency-Key belongs to a call with another path or body."""

    code = "idempotency-key-reused"
    title = "The Idempotency-Key belongs to another request"


class NotConfigured(Conflict):
    """The platform has no setting for this."""

    code = "not-configured"
    title = "The platform is not set up for this"


class PreconditionFailed(Problem):
    """What is to be changed has another version than the one that If-Match names."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition-failed"
    title = "It has changed since it was read"


class PayloadTooLarge(Problem):
    """The body is larger than the platform takes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "payload-too-large"
    title = "The body is too large"


class TooManyRequests(Problem):
    """The principal has made all requests that it may make in this window of time."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too-many-requests"
    title = "The quota of requests is used up"

    def __init__(self, quota: int, window: int, *, retry_after: int) -> None:
        super().__init__(
            f"{quota} requests in {window} seconds are used up; send the request again in {retry_after} seconds",
            headers={"Retry-After": str(retry_after)},
        )


class Unavailable(Problem):
    """Something that the answer needs is down or busy; the request may be sent again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"
    title = "A part of the platform is not available"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


class InternalError(Problem):
    """A defect of ours; the log has the details, the answer does not."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal-error"
    title = "The platform failed"


def responses(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's entry for each status that an operation can answer with."""
    documented: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = documented.setdefault(
            int(kind.status),
            {"model": ProblemDocument, "description": "", "content": {MEDIA_TYPE: {"examples": {}}}},
        )
        entry["description"] += f"{'; ' if entry['description'] else ''}{kind.title}"
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {
            "value": {
                "type": TYPE_PREFIX + kind.code,
                "title": kind.title,
                "status": int(kind.status),
                "detail": (kind.__doc__ or "").strip(),
                "request_id": "01920c5e-7d6a-7cc1-8f5d-0f4b8a3f2f11",
            }
        }
    return documented


def documented(
    kind: type[BaseModel], example: dict[str, Any] | list[Any], *problems: type[Problem], status: int = HTTPStatus.OK
) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's responses of a guarded operation: its answer with an example, and the problems that it can have."""
    always = (Unauthenticated, Forbidden, InvalidInput, TooManyRequests, Unavailable)
    return {int(status): documented_answer(kind, example), **responses(*always, *problems)}


def documented_answer(kind: type[BaseModel], example: dict[str, Any] | list[Any]) -> dict[str, Any]:
    """OpenAPI's entry for one answer."""
    return {
        "model": kind,
        "description": (kind.__doc__ or "").strip(),
        # As text, since FastAPI leaves nulls out of examples; `runtime.api.openapi` reads it.
        "content": {"application/json": {"example": json.dumps(example)}},
    }
