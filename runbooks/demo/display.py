"""What the command prints: a table for people, one JSON object for programs."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from runbooks.demo.comparison import Claim, Verdict

LARGE = 1e6


def show(verdict: Verdict, *, as_json: bool) -> None:
    """The verdict, with what differs marked."""
    if as_json:
        typer.echo(json.dumps(verdict.document(), ensure_ascii=False))
        return
    table = Table(title=f"{verdict.run} at {verdict.api}")
    for heading in ("", "what", "went in", "the API gives back", "same?"):
        table.add_column(heading, overflow="fold")
    part = ""
    for claim in verdict.claims:
        if part and claim.part != part:
            table.add_section()
        table.add_row(
            claim.part if claim.part != part else "",
            claim.what,
            _text(claim, claim.put_in),
            _text(claim, claim.given_back),
            "yes" if claim.same else "NO",
            style=None if claim.same else "bold red",
        )
        part = claim.part
    # Without markup: a value may have brackets of its own.
    console = Console(markup=False, highlight=False)
    console.print(table)
    for note in verdict.notes:
        console.print(note)
    console.print(_summary(verdict))


def _summary(verdict: Verdict) -> str:
    different = sum(not claim.same for claim in verdict.claims)
    outcome = f"{different} of {len(verdict.claims)} differ" if different else f"all {len(verdict.claims)} are the same"
    return f"{outcome}, after {verdict.seconds:.0f} s"


def _text(claim: Claim, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(claim, item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and claim.same:
        return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.6g}"
    # Whole: what differs may differ in the last digit.
    return str(value)
