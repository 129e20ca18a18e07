"""Sandbox services behind real sockets, and Google's own client; they hold each call to Google's description."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient
import httplib2
import uvicorn
from googleapiclient import discovery
from starlette.applications import Starlette

from runbooks.local.ports import HOST, free_port
from runbooks.sandbox.discovery import Discovery
from tests.waiting import wait_until

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
LOCATION = "projects/holdfast/locations/europe-west1"


@contextmanager
def serving(app: Starlette, *, port: int | None = None) -> Iterator[str]:
    """The app's address while it is served."""
    listening = _listen(port)
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _listen(port: int | None) -> socket.socket:
    while True:
        try:
            return socket.create_server((HOST, port or free_port()))
        except OSError:
            # One that was free a moment ago may have been taken by another test.
            if port is not None:
                raise


@cache
def document(name: str) -> dict[str, Any]:
    """A discovery document, such as `run.v2`."""
    found: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.json").read_text())
    return found


def methods(name: str) -> dict[str, dict[str, Any]]:
    """Every method of a discovery document by its id without the service."""
    return {one.partition(".")[2]: method for one, method in Discovery(document(name)).methods.items()}


def client(name: str, url: str) -> Any:
    """Google's client of a service, pointed here."""
    described = {**document(name), "rootUrl": f"{url}/", "baseUrl": f"{url}/", "mtlsRootUrl": f"{url}/"}
    return discovery.build_from_document(described, http=TokenHttp(timeout=20))


class TokenHttp(httplib2.Http):
    """Sends a token, and sees that a refusal has Google's shape."""

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **others: Any) -> Any:
        response, content = super().request(
            uri, method, body=body, headers={**(headers or {}), "authorization": "Bearer token"}, **others
        )
        # Nobody closes the client, and a connection that is left open is a warning.
        self.close()
        if response.status != 200:
            answer = json.loads(content)
            assert set(answer) == {"error"}
            assert answer["error"]["code"] == response.status
            assert answer["error"]["message"]
            # Cloud SQL's are of an older shape.
            assert "errors" in answer["error"] or re.fullmatch("[A-Z_]+", answer["error"]["status"])
        return response, content


def operation_done(read: Callable[[str], Any], operation: dict[str, Any], *, seconds: float = 20.0) -> dict[str, Any]:
    """The operation when it is done, by polling as a client does."""
    deadline = time.monotonic() + seconds
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)
        operation = read(operation["name"]).execute()
    return operation
