"""Sandbox services behind real sockets, and Google's own client, whose every call is held to Google's description."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import googleapiclient
import httplib2
import uvicorn
from googleapiclient import discovery
from jsonschema import Draft202012Validator
from starlette.applications import Starlette

from runbooks.local.ports import HOST, free_port
from tests.waiting import wait_until

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
LOCATION = "projects/holdfast/locations/europe-west1"
KEPT = ("type", "enum")


@contextmanager
def serving(app: Starlette, *, port: int | None = None) -> Iterator[str]:
    """The app's address while it is served."""
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    assert server.started
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@cache
def document(name: str) -> dict[str, Any]:
    """A discovery document, such as `run.v2`."""
    found: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.json").read_text())
    return found


def methods(name: str) -> dict[str, dict[str, Any]]:
    """Every method of a discovery document by its id without the service."""

    def walk(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from resource.get("methods", {}).values()
        for inner in resource.get("resources", {}).values():
            yield from walk(inner)

    return {method["id"].partition(".")[2]: method for method in walk(document(name))}


def client(name: str, url: str) -> Any:
    """Google's client of a service, pointed here."""
    described = {**document(name), "rootUrl": f"{url}/", "baseUrl": f"{url}/", "mtlsRootUrl": f"{url}/"}
    return discovery.build_from_document(described, http=CheckedHttp(name))


class CheckedHttp(httplib2.Http):
    """Sends a token, and refuses what Google's description does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(timeout=20)
        self._name = name
        self._definitions = {key: _schema(schema) for key, schema in document(name)["schemas"].items()}

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **others: Any) -> Any:
        described = self._described(method, urlsplit(uri).path)
        if body:
            self._check(described["request"]["$ref"], json.loads(body))
        response, content = super().request(
            uri, method, body=body, headers={**(headers or {}), "authorization": "Bearer token"}, **others
        )
        # Nobody closes the client, and a connection that is left open is a warning.
        self.close()
        answer = json.loads(content)
        if response.status == 200:
            self._check(described["response"]["$ref"], answer)
            for part in ("metadata", "response"):
                kind = re.fullmatch(r".*\.cloud\.\w+\.v\d\.(\w+)", answer.get(part, {}).get("@type", ""))
                if kind:
                    prefix = "GoogleCloudRunV2" if self._name == "run.v2" else ""
                    inner = {key: value for key, value in answer[part].items() if key != "@type"}
                    self._check(prefix + kind[1], inner)
        else:
            assert set(answer) == {"error"}
            assert answer["error"]["code"] == response.status
            assert answer["error"]["message"]
            assert re.fullmatch("[A-Z_]+", answer["error"]["status"])
        return response, content

    def _described(self, verb: str, path: str) -> dict[str, Any]:
        for method in methods(self._name).values():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(method["flatPath"]))
            if method["httpMethod"] == verb and re.fullmatch(pattern, path[1:]):
                return method
        message = f"{verb} {path} is not a method of {self._name}"
        raise AssertionError(message)

    def _check(self, schema: str, value: Any) -> None:
        Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": self._definitions}).validate(value)


def _schema(described: dict[str, Any]) -> dict[str, Any]:
    """A discovery document's schema as JSON Schema; what it does not name is refused."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    if described.get("type") == "any":
        return {}
    schema = {key: described[key] for key in KEPT if key in described}
    if described.get("format") == "int64":
        schema["pattern"] = r"^-?\d+$"
    if "items" in described:
        schema["items"] = _schema(described["items"])
    if described.get("type") == "object":
        schema["properties"] = {name: _schema(inner) for name, inner in described.get("properties", {}).items()}
        more = described.get("additionalProperties")
        schema["additionalProperties"] = _schema(more) if more else False
    return schema


def operation_done(read: Callable[[str], Any], operation: dict[str, Any], *, seconds: float = 20.0) -> dict[str, Any]:
    """The operation when it is done, by polling as a client does."""
    deadline = time.monotonic() + seconds
    while not operation.get("done"):
        assert time.monotonic() < deadline, operation
        time.sleep(0.02)
        operation = read(operation["name"]).execute()
    return operation
