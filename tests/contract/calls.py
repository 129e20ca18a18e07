"""What the code calls at Google, read from the code: from a function through all that it names."""

import ast
import contextlib
import functools
import importlib
import inspect
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, ClassVar

from pydantic import SecretStr

from runbooks.sandbox.sql.methods import find
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for

OURS = ("runtime", "runbooks", "migrations")
# What procedures are tried on.
APART = ("runbooks.sandbox", "runbooks.rehearsal", "runbooks.local")
CONNECTOR = "google.cloud.sql.connector"
CONNECT = frozenset(("sql.connect.get", "sql.connect.generateEphemeral"))
# Methods of Google's clients. A new revision is an operation, which is waited for.
CLIENTS = {
    "access_secret_version": ("secretmanager.versions.access",),
    "add_secret_version": ("secretmanager.versions.add",),
    "create_metric_descriptor": ("monitoring.metricDescriptors.create",),
    "create_time_series": ("monitoring.timeSeries.create",),
    "disable_secret_version": ("secretmanager.versions.disable",),
    "get_metric_descriptor": ("monitoring.metricDescriptors.get",),
    "get_service": ("run.services.get",),
    "list_secret_versions": ("secretmanager.versions.list",),
    "update_service": ("run.services.patch", "run.operations.get"),
}
# Modules that ask Google without one of its clients.
PLAIN = {"runtime.jobs.rotation": ("secretmanager.versions.list",)}
SESSION = "AuthorizedSession"
# The Admin API's client is called by name; place.py asks only the sandbox.
WITHOUT_CALLS = ("runtime.cloudsql.",)
GROUPS = ("backup_runs", "databases", "instances", "operations", "users")


def calls_from(starts: Iterable[Any]) -> frozenset[str]:
    """The calls of functions and classes, of modules as a whole, and of all that they name."""
    found: set[str] = set()
    seen: set[int] = set()
    todo = list(starts)
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ModuleType):
            todo += [value for value in vars(one).values() if _is_ours(value) and value.__module__ == one.__name__]
        elif not one.__module__.startswith(WITHOUT_CALLS):
            tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
            names = dict(_named(tree, importlib.import_module(one.__module__)))
            found |= set(_calls(tree, names, one.__module__))
            todo += [value for value in names.values() if _is_ours(value)]
    return frozenset(found)


def modules_of(name: str) -> list[ModuleType]:
    """A module and all of ours that it imports, wherever it does."""
    seen: dict[str, ModuleType] = {}
    todo = [name]
    while todo:
        one = todo.pop()
        if one in seen or one.startswith(APART) or not one.startswith(OURS):
            continue
        try:
            seen[one] = module = importlib.import_module(one)
        except ModuleNotFoundError:
            continue
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return list(seen.values())


def _is_ours(value: Any) -> bool:
    module = getattr(value, "__module__", None) or ""
    is_code = inspect.isfunction(inspect.unwrap(value)) if callable(value) else False
    return module.startswith(OURS) and not module.startswith(APART) and (is_code or inspect.isclass(value))


def _named(tree: ast.AST, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What the names and dotted names in some code are."""
    places = dict(vars(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = importlib.import_module(node.module)
            for alias in node.names:
                places[alias.asname or alias.name] = _member(imported, alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in places:
            yield node.id, places[node.id]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            holder = places.get(node.value.id)
            if isinstance(holder, ModuleType):
                yield f"{node.value.id}.{node.attr}", getattr(holder, node.attr, None)


def _member(module: ModuleType, name: str) -> Any:
    with contextlib.suppress(AttributeError):
        return getattr(module, name)
    return importlib.import_module(f"{module.__name__}.{name}")


def _calls(tree: ast.AST, names: dict[str, Any], module: str) -> Iterator[str]:
    if any((getattr(value, "__module__", None) or "").startswith(CONNECTOR) for value in names.values()):
        yield from CONNECT
    if any(getattr(value, "__name__", "") == SESSION for value in names.values()):
        # A KeyError here is a module that asks Google by itself, and is not in the table.
        yield from PLAIN[module]
    aliases = dict(_aliases(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        yield from CLIENTS.get(node.attr, ())
        holder = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        holder = aliases.get(holder, holder)
        if holder in GROUPS:
            yield from admin_calls().get((holder, node.attr), ())
        elif node.attr == "wait" and holder.endswith("admin"):
            yield from admin_calls()["operations", "wait"]


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that stand for a part of the Admin API's client: `backups = admin.backup_runs`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        pairs = [(node.targets[0], node.value)]
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
        for target, value in pairs:
            if isinstance(target, ast.Name) and isinstance(value, ast.Attribute) and value.attr in GROUPS:
                yield target.id, value.attr


class _Willing(BaseHTTPRequestHandler):
    """Says yes to everything, and remembers what it was asked."""

    asked: ClassVar[list[tuple[str, str]]] = []
    body: ClassVar = (
        b'{"name": "n", "operationType": "UPDATE", "status": "DONE", "targetId": "n", "region": "r", "id": "1",'
        b' "state": "RUNNABLE", "databaseVersion": "POSTGRES_18", "instance": "n",'
        b' "earliestRecoveryTime": "2026-01-01T00:00:00Z", "latestRecoveryTime": "2026-01-02T00:00:00Z",'
        b' "settings": {"settingsVersion": "1", "tier": "t"}}'
    )

    def answer(self) -> None:
        self.asked.append((self.command, self.path.partition("?")[0]))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  # the names of its base

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@functools.cache
def admin_calls() -> dict[tuple[str, str], frozenset[str]]:
    """The API's methods behind each of our client's: it is called, and a server hears what it asks."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Willing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    found: dict[tuple[str, str], frozenset[str]] = {}
    try:
        with CloudSqlAdmin("p", credentials=credentials_for(endpoint), endpoint=endpoint, patience=0) as admin:
            for group in GROUPS:
                part = getattr(admin, group)
                for name, method in inspect.getmembers(type(part), inspect.isfunction):
                    if not name.startswith("_"):
                        found[group, name] = _heard(functools.partial(method, part), method)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return found


def _heard(call: Callable[..., object], method: Callable[..., object]) -> frozenset[str]:
    _Willing.asked.clear()
    _, *parameters = inspect.signature(method).parameters.values()
    values = {one.name: _sample(one) for one in parameters if one.default is inspect.Parameter.empty}
    call(**values)
    methods = [find(verb, path) for verb, path in _Willing.asked]
    return frozenset(f"sql.{one[0].name}" for one in methods if one)


def _sample(parameter: inspect.Parameter) -> object:
    samples: dict[Any, object] = {int: 1, bool: True, SecretStr: SecretStr("p")}
    if "Callable" in str(parameter.annotation):
        return lambda document: document
    return samples.get(parameter.annotation, "n")
