"""A REST service as a Starlette application: authentication, dispatch by method id, errors."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runbooks.sandbox.services.calls import Call, Document, method_and_name
from runbooks.sandbox.services.errors import ServiceError, absent, invalid, unauthenticated

log = structlog.get_logger()

Handler = Callable[[Call], Document]

VERBS = ["GET", "POST", "PATCH", "PUT", "DELETE"]
MOST_BYTES = 4_000_000
# How well a method is done, for the README's table; "partial: " goes on with what is missing.
FULL = "full"
ABSENT = "absent"


def support(*, full: str = "", partial: Mapping[str, str] | None = None, without: str = "") -> dict[str, str]:
    """A service's table of methods: each id with how well the sandbox does it.

    Args:
        full: ids, with white space between them.
        partial: ids with what is missing.
        without: the ids of what is absent.
    """
    table = dict.fromkeys(full.split(), FULL)
    table |= {method: f"partial: {missing}" for method, missing in (partial or {}).items()}
    return table | dict.fromkeys(without.split(), ABSENT)


class Rest:
    """One service. A handler runs in a thread, alone among the handlers of its service unless it is a waiting one.

    Args:
        service: its name in method ids, such as `secretmanager`.
        version: the first part of its paths.
        handlers: by method id without the service; what is not here is answered 501.
        lock: what a handler holds; work in the background takes it too before it changes anything.
        waiting: the methods that wait for others and so hold no lock.
        irregular: ids of methods whose paths do not follow the pattern, by the id that the pattern would give.
    """

    def __init__(
        self,
        service: str,
        version: str,
        handlers: Mapping[str, Handler],
        *,
        lock: threading.RLock,
        waiting: Collection[str] = (),
        irregular: Mapping[str, str] | None = None,
    ) -> None:
        self.service = service
        self.version = version
        self.handlers = handlers
        self.lock = lock
        self.waiting = waiting
        self.irregular = irregular or {}

    def app(self, start: Callable[[], None] | None = None, stop: Callable[[], None] | None = None) -> Starlette:
        """The application, with what is done before its first call and after its last."""
        return Starlette(routes=[Route("/{path:path}", self._answer, methods=VERBS)], lifespan=_lifespan(start, stop))

    async def _answer(self, request: Request) -> Response:
        try:
            return JSONResponse(await self._call(request))
        except ServiceError as error:
            return JSONResponse(error.body, status_code=error.http_status)

    async def _call(self, request: Request) -> Document:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise unauthenticated()
        version, _, path = request.path_params["path"].partition("/")
        if version != self.version:
            message = f"{request.method} {request.url.path}"
            raise absent(message)
        method, name = method_and_name(request.method, path)
        method = self.irregular.get(method, method)
        handler = self.handlers.get(method)
        if handler is None:
            message = f"{self.service}.{method} ({request.method} {request.url.path})"
            raise absent(message)
        call = Call(method, name, dict(request.query_params), await _body(request))
        try:
            return await run_in_threadpool(self._run, handler, call)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Fields are read as the types that Google declares; the log tells a body of other types from a defect.
            log.warning("sandbox_call_malformed", method=f"{self.service}.{method}", exc_info=True)
            message = "Invalid JSON payload received. A field is missing or has another type than declared."
            raise invalid(message) from error

    def _run(self, handler: Handler, call: Call) -> Document:
        if call.method in self.waiting:
            return handler(call)
        with self.lock:
            return handler(call)


async def _body(request: Request) -> Document:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MOST_BYTES:
            message = "Request payload size exceeds the limit."
            raise invalid(message)
    try:
        body = json.loads(read) if read else {}
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        message = "Invalid JSON payload received. Expected an object."
        raise invalid(message)
    return body


def _lifespan(
    start: Callable[[], None] | None, stop: Callable[[], None] | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            if start is not None:
                await run_in_threadpool(start)
            yield
        finally:
            if stop is not None:
                await run_in_threadpool(stop)

    return lifespan
