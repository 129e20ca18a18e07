"""`holdfast connect`: a thin command over the tunnel."""

import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from infra import tunnel
from infra.logins import OPERATOR
from runbooks.connect.door import Door, open_door
from runbooks.connect.process import PROGRAM, find_program, refuse_taken, run
from runbooks.connect.way import Way, way_into
from runtime.errors import HoldfastError

ROOT = Path(__file__).parent.parent.parent

Stack = Annotated[str, typer.Argument(help="The stack, such as prod: it has a Pulumi.<stack>.yaml, and a bastion.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Of this machine, where the database then is.")]
SocksPort = Annotated[
    int, typer.Option(min=1, max=65535, help="Of this machine, for procedures; the target's connection names it.")
]
Name = Annotated[str | None, typer.Option("--instance", help="Which instance, if it cannot be told which one serves.")]
AdminApi = Annotated[str | None, typer.Option(metavar="URL", help="Of the Cloud SQL Admin API, if not Google's.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command that would open the tunnel, and end.")]
Folder = Annotated[Path, typer.Option("--project", metavar="FOLDER", help="The folder that has Pulumi.yaml.")]


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(connect)


def connect(
    stack: Stack,
    *,
    port: Port = tunnel.LOCAL_PORT,
    socks_port: SocksPort = tunnel.SOCKS_PORT,
    instance: Name = None,
    admin_api: AdminApi = None,
    dry_run: DryRun = False,
    project: Folder = ROOT,
) -> None:
    """Open a tunnel to a stack's databases, by IAP and the bastion, and keep it open. Ctrl-C ends it.

    Procedures reach every instance through it, and psql the one that serves. IAM says who comes in: to the tunnel,
    the bastion, an instance, and the database.
    """
    way = way_into(stack, project.absolute())
    if dry_run:
        typer.echo(shlex.join(way.command(PROGRAM, socks_port)))
        return
    program = find_program()
    refuse_taken(socks_port, "--socks-port")
    refuse_taken(port, "--port")
    door = Door(stack, port, tunnel.through(socks_port), instance, admin_api)
    with ExitStack() as ends:
        code = run(way.command(program, socks_port), socks_port, lambda: _show(way, door, ends))
    raise typer.Exit(code)


def _show(way: Way, door: Door, ends: ExitStack) -> None:
    connection = json.dumps({"via": "connector", "ip_type": way.ip_type, "through": door.through})
    typer.echo(f'The tunnel is open, by {way.machine}. Procedures take it by their target: "connection": {connection}')
    try:
        name = open_door(way, door, ends)
    except HoldfastError as error:
        # Procedures need none of it, least of all when the instance is gone.
        typer.echo(f"There is no database at {tunnel.HOST}:{door.port} for psql: {error}", err=True)
    else:
        typer.echo(f"The database of {door.stack} is at {tunnel.HOST}:{door.port}: {name}. Come in as yourself:\n")
        typer.echo(f"  {_psql(way, door.port, 'gcloud sql generate-login-token', '$(gcloud config get account)')}\n")
        typer.echo("or as the operator:\n")
        password = f"gcloud secrets versions access latest --secret={way.secret} --project={way.project}"
        typer.echo(f"  {_psql(way, door.port, password, OPERATOR)}\n")
    typer.echo("It stays open until Ctrl-C.", err=True)


def _psql(way: Way, port: int, password: str, user: str) -> str:
    # From here to the gateway there is no TLS of PostgreSQL's: the gateway encrypts, to the instance.
    where = f"host={tunnel.HOST} port={port} dbname={way.database} sslmode=disable"
    return f'PGPASSWORD="$({password})" psql "{where} user={user}"'
