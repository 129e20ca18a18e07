"""`holdfast rehearse`: procedures on a fresh sandbox of their own."""

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from runbooks.console import pages
from runbooks.engine.errors import RunbookError
from runbooks.local.environment import forget_libpq_variables
from runbooks.rehearsal import serving
from runbooks.rehearsal.rehearsal import PASSED, Rehearsal, Row, rehearse
from runbooks.rehearsal.scenarios import REHEARSALS, find
from runbooks.rehearsal.stage import base

Name = Annotated[str | None, typer.Argument(help="The procedure.")]
All = Annotated[bool, typer.Option("--all", help="Every procedure.")]
Serve = Annotated[
    bool, typer.Option("--serve", help="Keep an environment in the foreground, for `holdfast runbook … --sandbox`.")
]
Record = Annotated[bool, typer.Option("--record", help="Keep the times for the procedures' pages.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def register(console: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    console.command("rehearse")(rehearse_)


def rehearse_(
    name: Name = None, *, every: All = False, serve: Serve = False, record: Record = False, as_json: Json = False
) -> None:
    """Rehearse procedures on a fresh sandbox that has the platform's schema and rows in it."""
    if [name is not None, every, serve].count(True) != 1:
        message = "say which: a procedure's name, --all, or --serve"
        raise RunbookError(message)
    forget_libpq_variables()
    if serve:
        serving.serve(partial(typer.echo, err=True))
        return
    rows = _rehearsed(REHEARSALS if name is None else (find(name),))
    _show(rows, as_json=as_json)
    if record:
        pages.record({row.name: row.duration_s for row in rows if row.verdict == PASSED})
    if any(row.verdict != PASSED for row in rows):
        raise typer.Exit(1)


def _rehearsed(chosen: Sequence[Rehearsal]) -> list[Row]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-rehearsal-") as text, Console(stderr=True).status("") as line:
        folder = Path(text)
        line.update("building an environment")
        with base() as (state, environment):
            for number, rehearsal in enumerate(chosen, 1):
                line.update(f"{number}/{len(chosen)} {rehearsal.procedure.name}")
                own = folder / rehearsal.procedure.name
                own.mkdir()
                rows.append(rehearse(rehearsal, own, state, environment))
    return rows


def _show(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([row.document() for row in rows]))
        return
    table = Table("procedure", "verdict", "seconds", "RTO", "RPO", "")
    for row in rows:
        table.add_row(
            row.name, row.verdict, f"{row.duration_s:.1f}", _seconds(row.rto_s), _seconds(row.rpo_s), row.message
        )
    Console(markup=False, highlight=False).print(table)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
