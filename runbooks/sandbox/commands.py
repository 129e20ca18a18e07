"""`holdfast sandbox`: a thin command over `serve`."""

from pathlib import Path
from typing import Annotated

import typer

from runbooks.local.environment import forget_libpq_variables

Port = Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes any that is free.")]
MonitoringPort = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Monitoring's, which speaks gRPC; the one after --port, or any that is free for 0."
    ),
]
State = Annotated[Path, typer.Option("--state", help="The folder that holds everything; nothing outside is touched.")]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", help="Such as operations.get:503x3, instances.clone:error, secretmanager.secrets:slow=5."),
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
    monitoring_port: MonitoringPort = None,
    state: State = DEFAULT_STATE,
    fault: FaultOption = None,
    as_json: Json = False,
) -> None:
    """Serve a Google Cloud on this machine, whose Cloud SQL moves real data. Ctrl-C stops it; its state stays."""
    # Here and not above: every command of `holdfast` would wait for what a cloud imports.
    from runbooks.sandbox.catalogue import read_fault  # noqa: PLC0415
    from runbooks.sandbox.serving import serve  # noqa: PLC0415

    faults = [read_fault(text) for text in fault or []]
    forget_libpq_variables()
    serve(state.absolute().resolve(), port=port, monitoring_port=monitoring_port, faults=faults, as_json=as_json)
