"""What the commands print: a table for people, one line for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from runbooks.local.doctor import Finding
from runbooks.local.status import Status
from runbooks.local.supervisor import Addresses

# What a table of addresses has beside them: their names and its lines.
WIDTH_BESIDE = 20


def show_addresses(addresses: Addresses, *, as_json: bool) -> None:
    """Where everything is, and the key."""
    if as_json:
        _line(asdict(addresses))
        return
    rows = asdict(addresses)
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    # Whole, however narrow the terminal: these are to be copied.
    _print(table, width=max(map(len, rows.values())) + WIDTH_BESIDE)


def show_status(status: Status, *, as_json: bool) -> None:
    """Each part, its address and how it is."""
    if as_json:
        _line(asdict(status))
        return
    table = Table("", "healthy", "address", "pid", "")
    for name in ("api", "database", "cache"):
        part = getattr(status, name)
        table.add_row(name, "yes" if part.healthy else "no", part.url or "", str(part.pid or ""), part.detail)
    _print(table)


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Each check, and what mends it."""
    if as_json:
        _line([asdict(finding) for finding in findings])
        return
    table = Table("check", "ok", "found", "mend with")
    for finding in findings:
        table.add_row(finding.check, "yes" if finding.ok else "no", finding.detail, finding.fix)
    _print(table)


def _line(value: object) -> None:
    typer.echo(json.dumps(value))


def _print(table: Table, width: int | None = None) -> None:
    # Without markup: addresses and error messages may have brackets of their own.
    Console(width=width, markup=False, highlight=False).print(table)
