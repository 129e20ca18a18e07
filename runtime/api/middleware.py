"""Around every request: an id, its trace, a deadline, a log line and its place in the figures."""

import asyncio
import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.logs import REQUEST
from runtime.observability import trace
from runtime.observability.meters import HttpMeter
from runtime.problems import MEDIA_TYPE, InternalError, Problem, Unavailable

log = structlog.get_logger()

_ACCEPTABLE_ID = re.compile(rb"[\w.:/+=-]{1,128}")


class RequestContext:
    """Gives each request an id (the caller's, if it sends a sane one) and ends it at the deadline.

    Args:
        app: what answers.
        timeout: seconds; a request that is not answered by then gets 503.
        meter: counts the requests.
        project: of Google Cloud, whose traces the callers name.
    """

    # timeout is a setting, not a call's deadline.
    def __init__(self, app: ASGIApp, *, timeout: float, meter: HttpMeter, project: str | None = None) -> None:
        self._app = app
        self._timeout = timeout
        self._meter = meter
        self._project = project

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given: dict[bytes, bytes] = dict(scope["headers"])
        wanted = given.get(b"x-request-id", b"")
        ident = wanted.decode() if _ACCEPTABLE_ID.fullmatch(wanted) else str(uuid.uuid4())
        state = scope.setdefault("state", {})
        state["request_id"] = ident
        # Whoever has something to say beside the answer, whatever that will be, adds it here.
        headers = state["headers"] = [(b"x-request-id", ident.encode())]
        # Every line that the request leaves in the log says so.
        about = REQUEST.set({"request_id": ident, **trace.fields(given, project=self._project)})
        status = 0
        method = self._meter.begin(scope["method"])
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        problem: Problem
        try:
            async with asyncio.timeout(self._timeout):
                await self._app(scope, receive, send_with_id)
        except TimeoutError:
            if status:  # the answer has begun, and cannot become another
                raise
            problem = Unavailable(f"no answer within {self._timeout:g} seconds; send the request again")
            await _answer(problem, ident, send_with_id)
        except Exception as error:
            # The outermost boundary: whatever it is, the caller gets a problem document and the log gets the rest.
            if status:
                raise
            log.exception("unhandled_error", error=type(error).__name__)
            problem = InternalError("the failure is logged under the request's id")
            await _answer(problem, ident, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            # The template: paths have ids in them, and are as many as callers like.
            route = getattr(scope.get("route"), "path", "")
            self._meter.end(method, route, status, seconds)
            caller = state.get("caller")
            log.info(
                "request",
                method=scope["method"],
                route=route,
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 2),
                principal_id=str(caller.principal_id) if caller else None,
            )
            REQUEST.reset(about)


async def _answer(problem: Problem, ident: str, send: Send) -> None:
    headers = {"Content-Type": MEDIA_TYPE, **problem.headers}
    await send(
        {
            "type": "http.response.start",
            "status": int(problem.status),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": problem.document(ident)})
