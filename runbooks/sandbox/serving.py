"""The sandbox as a server in the foreground."""

import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runbooks.local.folder import StateFolder
from runbooks.local.lock import LockHeldError, hold
from runbooks.local.ports import HOST, is_free
from runbooks.local.signals import StopRequested, stop_requests
from runbooks.sandbox import cloud, discovery
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.faults import Fault, Faults
from runbooks.sandbox.sql import startup
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.sql.web import AdminApi, application
from runbooks.sandbox.store import Store

STATE = "state.sqlite"
GRACE_SECONDS = 2
LAST_PORT = 65535
UNCHECKED = "requests and answers are not checked: google-api-python-client, with Google's descriptions, is missing"


@contextmanager
def cloud_sql(folder: Path, faults: Faults) -> Iterator[Sql]:
    """Cloud SQL on a state folder, which nothing else may use meanwhile.

    Raises:
        SandboxError: another sandbox uses the folder.
    """
    state = StateFolder(folder)
    state.make()
    try:
        with hold(state.lock):
            store = Store(folder / STATE)
            sql = startup.start(folder / "sql", store, faults)
            try:
                yield sql
            finally:
                startup.stop(sql)
                store.close()
    except LockHeldError:
        message = f"a sandbox runs on {folder} already; stop it, or choose another folder with --state"
        raise SandboxError(message) from None


def serve(folder: Path, *, port: int, monitoring_port: int | None, faults: list[Fault], as_json: bool) -> None:
    """Serve until a signal asks to stop.

    Args:
        folder: the state folder.
        port: of everything that speaks HTTP; 0 for any that is free.
        monitoring_port: of Monitoring, which speaks gRPC; the one after `port` when it is not given.
        faults: those in force from the start.
        as_json: print the addresses as one line of JSON.

    Raises:
        SandboxError: a port is taken, or another sandbox uses the folder.
    """
    if monitoring_port is None:
        monitoring_port = port + 1 if 0 < port < LAST_PORT else 0
    # uvicorn raises the signal again when it has ended, and then it is this that hears it.
    with suppress(StopRequested), stop_requests(), listen(port) as listener:
        if monitoring_port and not is_free(monitoring_port):
            message = f"port {monitoring_port} cannot be used: it is in use; choose another with --monitoring-port"
            raise SandboxError(message)
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        held = Faults(faults)
        with (
            cloud_sql(folder, held) as sql,
            cloud.services(folder, sql.store, held, url=url, monitoring_port=monitoring_port) as beside,
        ):
            root = application(AdminApi(sql))
            root.routes.append(Route("/sandbox", _showing(beside.endpoints)))
            _announce(beside.endpoints, as_json=as_json)
            config = uvicorn.Config(
                cloud.below(root, beside.apps),
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
            uvicorn.Server(config).run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """Listen on 127.0.0.1.

    Raises:
        SandboxError: the port is taken.
    """
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        message = f"port {port} cannot be used: {error.strerror}; choose another with --port"
        raise SandboxError(message) from None


def _showing(endpoints: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def show(_: Request) -> Response:
        return JSONResponse(dict(endpoints))

    return show


def _announce(endpoints: Mapping[str, str], *, as_json: bool) -> None:
    if not discovery.is_installed():
        typer.echo(f"sandbox: {UNCHECKED}", err=True)
    if as_json:
        typer.echo(json.dumps(dict(endpoints)))
        return
    width = max(map(len, endpoints))
    for name, place in endpoints.items():
        typer.echo(f"{name:{width}}  {place}")
    typer.echo("It runs until Ctrl-C.", err=True)
