"""`holdfast sandbox`: a thin command over `serve`."""

from pathlib import Path
from typing import Annotated

import typer

from runbooks.local.environment import forget_libpq_variables
from runbooks.sandbox.serving import serve
from runbooks.sandbox.sql.faults import Fault

Port = Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes any that is free.")]
State = Annotated[Path, typer.Option("--state", help="The folder that holds everything; nothing outside is touched.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="Such as operations.get:503x3, instances.clone:error, operations:slow=5."),
]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]

DEFAULT_PORT = 9090
DEFAULT_STATE = Path(".holdfast-sandbox")


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(sandbox)


def sandbox(
    *,
    port: Port = DEFAULT_PORT,
    state: State = DEFAULT_STATE,
    fault: FaultOption = None,
    as_json: Json = False,
) -> None:
    """Serve a Google Cloud on this machine, whose Cloud SQL moves real data. Ctrl-C stops it; its state stays."""
    faults = [Fault.parse(text) for text in fault or []]
    forget_libpq_variables()
    serve(state.absolute().resolve(), port=port, faults=faults, as_json=as_json)
