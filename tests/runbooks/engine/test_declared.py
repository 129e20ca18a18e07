"""A procedure does what it declares, and nothing else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from runbooks.engine.errors import UndeclaredCallError
from runbooks.engine.permissions import ADMIN_API, DESTRUCTIVE, KNOWN, Permissions
from runbooks.engine.procedure import Procedure, Step
from runbooks.engine.records import State
from runbooks.sandbox.sql.methods import METHODS
from tests.runbooks.engine import toys
from tests.runbooks.engine.conftest import World


class Counting(BaseHTTPRequestHandler):
    calls: ClassVar[list[str]] = []

    def answer(self) -> None:
        self.calls.append(f"{self.command} {self.path}")
        body = json.dumps({"error": {"code": 403, "message": "no", "errors": [{"reason": "no"}]}}).encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  # the names of its base

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def calls() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses every call, and the calls that it got."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    Counting.calls.clear()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", Counting.calls
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_step_does_not_declare_is_never_sent(world: World, calls: tuple[str, list[str]]) -> None:
    endpoint, sent = calls
    failed = world.execution(toys.UNDECLARED, endpoint=endpoint).begin()
    assert failed.state is State.FAILED
    assert failed.message == (
        "delete: step delete of toy-undeclared does not declare instances.delete, so it was not done"
    )
    assert sent == []
    assert world.execution(toys.DECLARED, endpoint=endpoint).begin().state is State.FAILED
    assert len(sent) == 1
    assert sent[0].startswith("POST /v1/projects/p/instances/main/backupRuns")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/projects/p/instances/main", "instances.delete"),
        ("/v1/projects/p/instances/main-throwaway-0a1b2c", "throwaway.delete"),
        ("/v1/projects/p/instances/main-throwaway-0a1b2c-2", "instances.delete"),
        ("/v1/projects/p/instances/main-throwaway-0a1b2c/users", "users.delete"),
        ("/v1/projects/p/unheard-of", "DELETE /v1/projects/p/unheard-of"),
    ],
)
def test_a_deletion_is_known_by_what_it_deletes(path: str, name: str) -> None:
    permissions = Permissions()
    permissions.allow("this step", KNOWN - {name})
    with pytest.raises(UndeclaredCallError, match=rf"this step does not declare {name}, so it was not done"):
        permissions.of_admin_api("DELETE", path)
    if name in KNOWN:
        permissions.allow("this step", {name})
        permissions.of_admin_api("DELETE", path)


def test_the_names_are_those_of_the_api() -> None:
    assert {method.name for method in METHODS} >= ADMIN_API
    assert KNOWN >= DESTRUCTIVE


def step(name: str = "one", *changes: str) -> Step:
    return Step(name, toys.one, toys.nothing, changes=changes)


@pytest.mark.parametrize(
    ("steps", "destroys", "says"),
    [
        ((step("one", "instances.delete"),), False, "do not agree on whether it destroys"),
        ((step("one", "backupRuns.insert"),), True, "do not agree on whether it destroys"),
        ((step("one", "instances.explode"),), False, "step one changes what is not known: instances.explode"),
        ((step(), step()), False, "two steps have the same name"),
        ((Step("one", lambda _: None, toys.nothing),), False, "step one does not say what it does"),
    ],
)
def test_a_procedure_that_does_not_say_what_it_is_cannot_be_made(
    steps: tuple[Step, ...], *, destroys: bool, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Procedure(name="p", title="P", when="", inputs=toys.Asked, steps=steps, destroys=destroys)
