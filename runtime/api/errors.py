"""Every failure becomes a problem document; nothing internal leaks."""

import re
from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from runtime import problems
from runtime.db.retry import LOST, ROLLED_BACK
from runtime.problems import FieldError, Problem

log = structlog.get_logger()

# The database is down, starting, stopping, full, or did not answer in time.
UNAVAILABLE = (
    *LOST,
    *ROLLED_BACK,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.LockNotAvailableError,
    OSError,
)


_NAMED = re.compile(r"(\w+): (.*)", re.DOTALL)


def request_id(request: Request) -> str:
    """The id that the middleware gave the request."""
    return str(request.state.request_id)


def answer(request: Request, problem: Problem) -> Response:
    """A problem as a response."""
    return Response(
        problem.document(request_id(request)), problem.status, problem.headers, media_type=problems.MEDIA_TYPE
    )


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  # registered for it alone
    return answer(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for it alone
    found = [_field_error(detail, error.body) for detail in error.errors()]
    summary = f"{found[0].field}: {found[0].message}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")
    return answer(request, problems.InvalidInput(summary, errors=found))


def _field_error(detail: dict[str, Any], body: Any) -> FieldError:
    location, message = detail["loc"], str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "json_invalid":
        return FieldError(field="body", message=f"is not JSON: {detail['ctx']['error']}")
    # The first part says body, query or path.
    field = ".".join(map(str, _without_tags(location[1:], body) if location[0] == "body" else location[1:]))
    named = _NAMED.match(message)
    if named is not None:
        # A check of several fields together names the one to change.
        field, message = f"{field}.{named[1]}".lstrip("."), named[2]
    return FieldError(field=field or str(location[0]), message=message)


def _without_tags(location: Sequence[str | int], body: Any) -> list[str | int]:
    """The place in the body: where schemas are told apart by a tag, pydantic puts the tag into the place."""
    place = []
    for nth, part in enumerate(location, start=1):
        inside = isinstance(body, dict) and part in body
        # The last part may be a field that is missing.
        if isinstance(body, dict) and not inside and nth < len(location):
            continue
        place.append(part)
        body = body[part] if inside or (isinstance(body, list) and isinstance(part, int)) else None
    return place


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for it alone
    if error.status_code == problems.NotFound.status:
        return answer(request, problems.NotFound(f"there is nothing at {request.url.path}"))
    if error.status_code == problems.MethodNotAllowed.status:
        problem: Problem = problems.MethodNotAllowed(f"{request.url.path} does not take {request.method}")
        problem.headers = {"Allow": ", ".join(sorted(_methods(request)))}
        return answer(request, problem)
    if error.status_code == problems.PayloadTooLarge.status:
        return answer(request, problems.PayloadTooLarge(error.detail))
    # FastAPI's only other one: bytes that are not UTF-8, a number of thousands of digits, brackets without end.
    return answer(request, problems.InvalidInput.of(field="body", message="cannot be read as JSON"))


def _methods(request: Request) -> set[str]:
    """What the path takes; Starlette names the methods of its first route alone."""
    there = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in there for method in getattr(route, "methods", None) or ()}


async def _unavailable(request: Request, error: Exception) -> Response:
    if isinstance(error, ValueError):
        # The driver's word for a value that it cannot send.
        return await _data(request, error)
    log.warning("dependency_unavailable", dependency="database", error=type(error).__name__, detail=str(error))
    return answer(request, problems.Unavailable("the database cannot answer now; send the request again"))


async def _constraint(request: Request, error: Exception) -> Response:
    """The database refused a row: say which field, from the constraint's name."""
    assert isinstance(error, asyncpg.IntegrityConstraintViolationError)  # noqa: S101  # registered for it alone
    table, constraint = error.table_name or "", error.constraint_name or ""
    if isinstance(error, asyncpg.UniqueViolationError):
        return answer(
            request, problems.AlreadyExists.of(field="id", message="is taken; choose another or leave it out")
        )
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        field = constraint.removeprefix(f"fk_{table}_")
        return answer(request, problems.InvalidInput.of(field=field, message="refers to something that does not exist"))
    field = constraint.removeprefix(f"ck_{table}_") or error.column_name or "body"
    return answer(request, problems.InvalidInput.of(field=field, message="is not acceptable to the database"))


async def _data(request: Request, error: Exception) -> Response:
    log.warning("data_refused", error=type(error).__name__)
    return answer(request, problems.InvalidInput("the database cannot hold a value of the request"))


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(asyncpg.IntegrityConstraintViolationError, _constraint)
    app.add_exception_handler(asyncpg.DataError, _data)
    for kind in UNAVAILABLE:
        app.add_exception_handler(kind, _unavailable)
