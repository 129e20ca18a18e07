"""`holdfast up`, `down`, `status` and `doctor`: thin commands over functions that tests call too."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg2
import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from runbooks.local import display
from runbooks.local.background import into_background
from runbooks.local.doctor import examine
from runbooks.local.environment import forget_libpq_variables
from runbooks.local.errors import LocalPlatformError
from runbooks.local.folder import StateFolder
from runbooks.local.status import status as look
from runbooks.local.stop import stop
from runbooks.local.supervisor import Addresses, Options, supervise
from runtime.errors import first_line

State = Annotated[Path, typer.Option("--state", help="The folder that holds everything; nothing outside is touched.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]
Port = Annotated[int, typer.Option(min=1, max=65535, envvar="API_PORT", help="The API's port.")]
PostgresBin = Annotated[Path | None, typer.Option(help="The folder of another PostgreSQL's programs.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        envvar="HOLDFAST_DATABASE_URL",
        help="Another PostgreSQL server; its user must be able to create roles. The platform's logins are made there.",
    ),
]
RedisUrl = Annotated[str | None, typer.Option(envvar="HOLDFAST_REDIS_URL", help="Another Valkey or Redis server.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return when it is ready, and leave it running.")]

DEFAULT_STATE = Path(".holdfast")
DEFAULT_PORT = 8000


def register(app: typer.Typer) -> None:
    """Add the commands to `holdfast`."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(doctor)


def up(
    *,
    detach: Detach = False,
    as_json: Json = False,
    port: Port = DEFAULT_PORT,
    postgres_bin: PostgresBin = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Start PostgreSQL, Valkey and the API, and print their addresses and a key. Ctrl-C stops them."""
    folder = _folder(state)
    options = Options(folder, port, postgres_bin, database_url, redis_url)
    forget_libpq_variables()
    with _one_line():
        folder.make()
        background = into_background(folder.log("up")) if detach else None
        if background is not None:
            display.show_addresses(Addresses(**json.loads(background.wait())), as_json=as_json)
        elif detach:
            supervise(options, announce=lambda found: display.show_addresses(found, as_json=True), tell=lambda _: None)
        else:
            with Console(stderr=True).status("") as line:

                def announce(found: Addresses) -> None:
                    line.stop()
                    display.show_addresses(found, as_json=as_json)
                    typer.echo("It runs until Ctrl-C, or holdfast down.", err=True)

                supervise(options, announce=announce, tell=line.update)


def down(state: State = DEFAULT_STATE) -> None:
    """Stop the platform, or what a killed one left. Its data stays."""
    with _one_line():
        typer.echo(stop(_folder(state)))


def status(*, as_json: Json = False, state: State = DEFAULT_STATE) -> None:
    """Say what runs and whether it answers. The exit code is 0 when all of it does."""
    forget_libpq_variables()
    with _one_line():
        found = look(_folder(state))
    display.show_status(found, as_json=as_json)
    raise typer.Exit(0 if found.is_healthy else 1)


def doctor(
    *,
    as_json: Json = False,
    port: Port = DEFAULT_PORT,
    postgres_bin: PostgresBin = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Say what this machine lacks for the platform, and the command that mends it."""
    with _one_line():
        findings = examine(Options(_folder(state), port, postgres_bin))
    display.show_findings(findings, as_json=as_json)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _folder(path: Path) -> StateFolder:
    # Resolved, so that every process names it alike.
    return StateFolder(path.absolute().resolve())


@contextmanager
def _one_line() -> Iterator[None]:
    """What the machine or a server refuses is for a person to read, too."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        message = f"{error.strerror or error}{where}"
        raise LocalPlatformError(message) from None
    except DBAPIError as error:
        raise LocalPlatformError(first_line(error.orig or error)) from None
    except psycopg2.Error as error:
        raise LocalPlatformError(first_line(error)) from None
