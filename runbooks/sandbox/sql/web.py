"""The API over HTTP: authentication, faults, and both versions' checks around each method's handler."""

import asyncio
import json
import traceback
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.discovery import Discovery
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.sql import errors, methods
from runbooks.sandbox.sql.accidents import happen
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.handlers import bound
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

VERSIONS = dict(zip(methods.PREFIXES, ("v1", "v1beta4"), strict=True))
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
USER = "sandbox@holdfast.invalid"


class AdminApi:
    """The Admin API, as HTTP sees it."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._faults = sql.faults
        self._handlers = bound(sql)
        self._described = {prefix: Discovery.installed(f"sqladmin.{version}") for prefix, version in VERSIONS.items()}

    def routes(self) -> list[Route]:
        """Its addresses, and the sandbox's own for faults."""
        return [
            Route("/sandbox/instances", self._show_places, methods=["GET"]),
            Route("/sandbox/instances/{project}/{instance}/accidents", self._accident, methods=["POST"]),
            Route("/sandbox/faults", self._control, methods=["GET", "POST", "DELETE"]),
            *(Route(f"{prefix}{{path:path}}", self._answer, methods=VERBS) for prefix in VERSIONS),
        ]

    async def _answer(self, request: Request) -> Response:
        try:
            status, body = HTTPStatus.OK, await self._call(request)
        except errors.ApiError as error:
            status, body = error.status, error.body
        except Exception as error:  # noqa: BLE001  # a defect of the sandbox's is told in the API's shape too
            traceback.print_exc()
            failure = errors.ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "internalError", f"The sandbox: {error}")
            status, body = failure.status, failure.body
        return JSONResponse(body, status)

    async def _call(self, request: Request) -> Document:
        found = methods.find(request.method, request.url.path)
        if found is None:
            raise errors.not_found(errors.METHOD)
        method, prefix, path = found
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise errors.unauthenticated()
        status = self._faults.status(method.name)
        if status is not None:
            raise errors.by_status(status)
        if not method.begins_operation and (seconds := self._faults.seconds(method.name)):
            await asyncio.sleep(seconds)
        handler = self._handlers.get(method.name)
        if handler is None:
            raise errors.not_implemented(method.name)
        body = _body(await request.body())
        query = dict(request.query_params)
        described = self._described[prefix]
        described_as = f"sql.{method.name}"
        if described:
            faults = described.request_faults(described_as, query, body)
            if faults:
                raise errors.ApiError(HTTPStatus.BAD_REQUEST, "badRequest", "; ".join(faults))
        base = f"http://{request.url.netloc}{prefix.removesuffix('/')}"
        answer = await run_in_threadpool(handler, Call(method.name, path, query, body or {}, USER, base))
        if described:
            faults = described.answer_faults(described_as, answer)
            if faults:
                message = f"an answer of {method.name} is not in Google's shape: {'; '.join(faults)}"
                raise SandboxError(message)
        return answer

    async def _show_places(self, _: Request) -> Response:
        return JSONResponse({"instances": await run_in_threadpool(self._sql.places)})

    async def _accident(self, request: Request) -> Response:
        where = request.path_params
        try:
            body = _body(await request.body()) or {}
            await run_in_threadpool(happen, self._sql, where["project"], where["instance"], body)
        except errors.ApiError as error:
            return JSONResponse(error.body, error.status)
        except SandboxError as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        return JSONResponse({})

    async def _control(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            try:
                fault = read_fault(str((_body(await request.body()) or {}).get("fault", "")))
            except (SandboxError, errors.ApiError) as error:
                return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)
            self._faults.add(fault)
        return JSONResponse({"faults": self._faults.all()})


def application(api: AdminApi, **options: Any) -> Starlette:
    """An application that serves the API alone."""
    return Starlette(routes=api.routes(), **options)


def _body(raw: bytes) -> Document | None:
    if not raw.strip():
        return None
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise errors.ApiError(HTTPStatus.BAD_REQUEST, "parseError", "Invalid JSON payload received. Parse Error")
    return body
