"""The XML API over HTTP: which request is which operation, and what is refused by name."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import request_response

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.storage import documents
from runbooks.sandbox.storage.conditions import GENERATIONS, HTTP, OF_COPY
from runbooks.sandbox.storage.errors import Code, StorageError, by_status
from runbooks.sandbox.storage.methods import NAMES
from runbooks.sandbox.storage.names import split
from runbooks.sandbox.storage.service import META, XML, Service
from runbooks.sandbox.storage.store import Store

# Who pays and who asks: nothing here depends on it.
IGNORED = frozenset({"x-goog-api-client", "x-goog-api-version", "x-goog-project-id", "x-goog-user-project"})
CLIENT_LEFT = 499

Run = Callable[[Request, str, str], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """A request that is served.

    Attributes:
        run: what it does.
        query: the parameters that it knows.
        headers: the conditions and the headers of Cloud Storage that it knows.
        stores: whether metadata comes with it.
    """

    run: Run
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    stores: bool = False

    def check(self, request: Request) -> None:
        """See that nothing is asked for which would be silently ignored.

        Raises:
            StorageError: it is.
        """
        for parameter in request.query_params:
            if parameter not in self.query:
                raise StorageError(Code.NOT_IMPLEMENTED, f"the query parameter {parameter}")
        for header in request.headers:
            known = header in self.headers or header in IGNORED or (self.stores and header.startswith(META))
            if not known and (header in HTTP or header.startswith(("x-goog-", "x-amz-"))):
                raise StorageError(Code.NOT_IMPLEMENTED, f"the header {header}")


def app(folder: Path, faults: Faults | None = None) -> Starlette:
    """The façade over a folder. `state.store.create_bucket` makes buckets.

    Args:
        folder: where everything is kept.
        faults: those in force.

    Raises:
        SandboxError: another process has the folder open.
    """
    store = Store(folder)
    injected = faults or Faults([])
    operations = _operations(Service(store))

    async def serve(request: Request) -> Response:
        try:
            method, operation, bucket, name = _find(operations, request)
            status = injected.status(method)
            if status is not None:
                raise by_status(status)
            if seconds := injected.seconds(method):
                await asyncio.sleep(seconds)
            operation.check(request)
            return await operation.run(request, bucket, name)
        except StorageError as error:
            return _refuse(error)
        except (OSError, sqlite3.Error) as error:
            # A full disk, mostly; what was being written is gone by now.
            return _refuse(StorageError(Code.SERVICE_UNAVAILABLE, str(error)))
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        store.close()

    application = Starlette(lifespan=lifespan)
    # No route: a route's pattern does not fit every name.
    application.router.default = request_response(serve)
    application.state.store = store
    return application


def _operations(service: Service) -> dict[tuple[str, str], Operation]:
    listing = frozenset({"list-type", "prefix", "delimiter", "max-keys", "start-after", "continuation-token"})
    generation, upload, part = frozenset({"generation"}), frozenset({"uploadId"}), frozenset({"uploadId", "partNumber"})
    uploaded = frozenset({"x-goog-hash"})
    copied = GENERATIONS | OF_COPY | {"x-goog-copy-source", "x-goog-metadata-directive"}
    return {
        ("PUT", "bucket"): Operation(service.create_bucket),
        ("HEAD", "bucket"): Operation(service.head_bucket),
        ("DELETE", "bucket"): Operation(service.delete_bucket),
        ("GET", "bucket"): Operation(service.list_objects, listing),
        ("GET", "object"): Operation(service.get, generation, GENERATIONS | HTTP),
        ("HEAD", "object"): Operation(service.head, generation, GENERATIONS | HTTP),
        ("PUT", "object"): Operation(service.put, headers=GENERATIONS | uploaded, stores=True),
        ("PUT", "copy"): Operation(service.copy, headers=copied, stores=True),
        ("DELETE", "object"): Operation(service.delete, generation, GENERATIONS),
        ("POST", "uploads"): Operation(service.begin_upload, frozenset({"uploads"}), stores=True),
        ("PUT", "uploadId"): Operation(service.put_part, part, uploaded),
        ("POST", "uploadId"): Operation(service.complete_upload, upload),
        ("DELETE", "uploadId"): Operation(service.abort_upload, upload),
    }


def _find(operations: dict[tuple[str, str], Operation], request: Request) -> tuple[str, Operation, str, str]:
    # As it was sent: decoded already, names that are not UTF-8 could not be told from others.
    path = request.scope["raw_path"].decode("latin-1").removeprefix(quote(request.scope.get("root_path", "")))
    bucket, name = split(path)
    if not bucket:
        raise StorageError(Code.NOT_IMPLEMENTED, "the list of buckets")
    if not name:
        kind = "bucket"
    elif "uploadId" in request.query_params:
        kind = "uploadId"
    elif "uploads" in request.query_params:
        kind = "uploads"
    else:
        kind = "copy" if request.method == "PUT" and "x-goog-copy-source" in request.headers else "object"
    operation = operations.get((request.method, kind))
    if not operation:
        raise StorageError(Code.NOT_IMPLEMENTED, f"{request.method} on {kind}")
    return f"storage.{NAMES[request.method, kind]}", operation, bucket, name


def _refuse(error: StorageError) -> Response:
    if error.status == 304:  # noqa: PLR2004  (HTTP: it has no body)
        return Response(status_code=304, headers=error.headers)
    return Response(documents.error(error), error.status, error.headers, XML)
