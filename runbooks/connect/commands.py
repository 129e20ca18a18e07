"""`holdfast connect`: a thin command over the tunnel."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from infra import tunnel
from runbooks.connect.process import PROGRAM, find_program, refuse_taken, run
from runbooks.connect.way import Way, way_into

ROOT = Path(__file__).parent.parent.parent

Stack = Annotated[str, typer.Argument(help="The stack, such as prod: it has a Pulumi.<stack>.yaml, and a bastion.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Of this machine; the target's connection names it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the command that would open the tunnel, and end.")]
Folder = Annotated[Path, typer.Option("--project", metavar="FOLDER", help="The folder that has Pulumi.yaml.")]


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(connect)


def connect(stack: Stack, *, port: Port = tunnel.LOCAL_PORT, dry_run: DryRun = False, project: Folder = ROOT) -> None:
    """Open a tunnel to a stack's database, by IAP and the bastion, and keep it open. Ctrl-C ends it.

    It reads no state of the cloud. Who comes in says IAM: the tunnel asks for IAP's role, and the database for a user.
    """
    way = way_into(stack, project.absolute())
    if dry_run:
        typer.echo(shlex.join(way.command(PROGRAM, port)))
        return
    program = find_program()
    refuse_taken(port)
    raise typer.Exit(run(way.command(program, port), port, lambda: _show(stack, way, port)))


def _show(stack: str, way: Way, port: int) -> None:
    connection = f'"connection": {{"via": "proxy", "host": "{tunnel.HOST}", "port": {port}}}'
    typer.echo(f"The database of {stack} is at {tunnel.HOST}:{port}, by {way.machine}. Come in as yourself:\n")
    typer.echo(f"  {_psql(way, port)}\n")
    typer.echo(f"Procedures come in with this in their target: {connection}")
    typer.echo("It stays open until Ctrl-C.", err=True)


def _psql(way: Way, port: int) -> str:
    # From here to the proxy there is no TLS of PostgreSQL's: the tunnel encrypts, and then the proxy does.
    where = f"host={tunnel.HOST} port={port} dbname={way.database} sslmode=disable"
    return f'PGPASSWORD="$(gcloud sql generate-login-token)" psql "{where} user=$(gcloud config get account)"'
