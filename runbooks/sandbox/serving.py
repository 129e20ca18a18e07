"""The sandbox as a server in the foreground."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
import uvicorn

from runbooks.local.folder import StateFolder
from runbooks.local.lock import LockHeldError, hold
from runbooks.local.ports import HOST
from runbooks.local.signals import StopRequested, stop_requests
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.sql import startup
from runbooks.sandbox.sql.faults import Fault, Faults
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.sql.web import AdminApi, application
from runbooks.sandbox.store import Store

STATE = "state.sqlite"
GRACE_SECONDS = 2


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


def serve(folder: Path, *, port: int, faults: list[Fault], as_json: bool) -> None:
    """Serve until a signal asks to stop.

    Raises:
        SandboxError: the port is taken, or another sandbox uses the folder.
    """
    # uvicorn raises the signal again when it has ended, and then it is this that hears it.
    with suppress(StopRequested), stop_requests(), listen(port) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        held = Faults(faults)
        with cloud_sql(folder, held) as sql:
            api = AdminApi(sql)
            _announce(url, folder, as_json=as_json)
            config = uvicorn.Config(
                application(api), log_level="warning", lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
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


def _announce(url: str, folder: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"sql": url, "state": str(folder)}))
        return
    typer.echo(f"Cloud SQL Admin API: {url}   (faults: {url}/sandbox/faults)")
    typer.echo("It runs until Ctrl-C.", err=True)
