"""A REST service as a Starlette application: authentication, dispatch by method id, faults, Google's shapes, errors."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runbooks.sandbox.discovery import Discovery
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services.calls import Call, Document, method_and_name
from runbooks.sandbox.services.errors import ServiceError, absent, by_status, invalid, unauthenticated

log = structlog.get_logger()

Handler = Callable[[Call], Document]

VERBS = ["GET", "POST", "PATCH", "PUT", "DELETE"]
MOST_BYTES = 4_000_000
# How well a method is done, for the README's table; "partial: " goes on with what is missing.
FULL = "full"
ABSENT = "absent"
INTERNAL = "INTERNAL"
# What reading a field of another type than it should have raises.
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


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
        faults: those in force.
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
        faults: Faults | None = None,
    ) -> None:
        self.service = service
        self.version = version
        self.handlers = handlers
        self.lock = lock
        self.waiting = waiting
        self.irregular = irregular or {}
        self._faults = faults or Faults([])
        self._described = Discovery.installed(f"{service}.{version}")

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
        whole = f"{self.service}.{method}"
        status = self._faults.status(whole)
        if status is not None:
            raise by_status(status)
        if seconds := self._faults.seconds(whole):
            await asyncio.sleep(seconds)
        handler = self.handlers.get(method)
        if handler is None:
            message = f"{whole} ({request.method} {request.url.path})"
            raise absent(message)
        body, query = await _body(request), dict(request.query_params)
        if self._described and "enum-encoding=int" in query.get("$alt", ""):
            body = self._described.with_names(whole, body)
        if self._described and (wrong := self._described.request_faults(whole, query, body)):
            raise invalid("; ".join(wrong))
        answer = await self._answer_of(handler, Call(method, name, query, _without_nulls(body)))
        if self._described and (wrong := self._described.answer_faults(whole, answer)):
            message = f"an answer of {whole} is not in Google's shape: {'; '.join(wrong)}"
            raise ServiceError(INTERNAL, f"The sandbox: {message}")
        return answer

    async def _answer_of(self, handler: Handler, call: Call) -> Document:
        try:
            return await run_in_threadpool(self._run, handler, call)
        except ServiceError:
            raise
        except Exception as error:
            if self._described is None and isinstance(error, MALFORMED):
                # Nobody looked at the body: it may be of other types than the handler reads.
                message = "Invalid JSON payload received. A field is missing or has another type than declared."
                raise invalid(message) from error
            # A defect of the sandbox's is told in Google's shape too.
            log.exception("sandbox_call_failed", method=f"{self.service}.{call.method}")
            raise ServiceError(INTERNAL, f"The sandbox: {type(error).__name__}: {error}") from error

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


def _without_nulls(value: Any) -> Any:
    """As Google reads it: a field that is null is not there."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


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
