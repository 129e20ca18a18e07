"""Around every request: an id, a deadline and a log line."""

import asyncio
import re
import time
import uuid

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from runtime.problems import MEDIA_TYPE, InternalError, Problem, Unavailable

log = structlog.get_logger()

REQUEST_ID = "X-Request-Id"
_ACCEPTABLE_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class RequestContext:
    """Gives each request an id (the caller's, if it sends a sane one) and ends it at the deadline.

    Args:
        app: what answers.
        timeout: seconds; a request that is not answered by then gets 503.
    """

    def __init__(self, app: ASGIApp, *, timeout: float) -> None:  # a setting, not a call's deadline
        self._app = app
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        ident = given if _ACCEPTABLE_ID.fullmatch(given) else str(uuid.uuid4())
        state = scope.setdefault("state", {})
        state["request_id"] = ident
        # Whoever has something to say beside the answer, whatever that will be, adds it here.
        headers = state["headers"] = [(b"x-request-id", ident.encode())]
        status = 0
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
                # Every line that the request leaves in the log has its id.
                with bound_contextvars(request_id=ident):
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
            log.exception("unhandled_error", request_id=ident, error=type(error).__name__)
            problem = InternalError("the failure is logged under the request's id")
            await _answer(problem, ident, send_with_id)
        finally:
            log.info(
                "request",
                request_id=ident,
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((time.perf_counter() - started) * 1000, 2),
            )


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
