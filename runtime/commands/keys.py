"""Commands on API keys."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy import Connection

from runtime import settings
from runtime.db.engine import make_engine
from runtime.platform import keys
from runtime.platform.scopes import ALL_SCOPES

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]

app = typer.Typer(no_args_is_help=True, help="API keys: create, list, revoke, rotate.")


@contextmanager
def _connection(loaded: settings.Settings) -> Iterator[Connection]:
    engine = make_engine(loaded, application_name="holdfast-keys", duty="jobs")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _show(issued: keys.IssuedKey, *, as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "key": issued.key,
                    "prefix": issued.prefix,
                    "subject": issued.subject,
                    "scopes": issued.scopes,
                    "expires_at": issued.expires_at.isoformat() if issued.expires_at else None,
                }
            )
        )
        return
    typer.echo(issued.key)
    typer.echo(f"for {issued.subject}, with {', '.join(issued.scopes)}; it is shown this once", err=True)


@app.command()
def create(
    *,
    subject: str = typer.Option(..., help="Whom the key speaks for; stored as the user of what it writes."),
    scopes: str = typer.Option(..., help=f"Comma-separated: {', '.join(ALL_SCOPES)}."),
    expires_in_days: int | None = typer.Option(None, min=1, max=3650, help="Without it the key does not expire."),
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once."""
    loaded = settings.load(settings.ApiSettings)
    expires_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=expires_in_days) if expires_in_days else None
    with _connection(loaded) as connection:
        issued = keys.create_key(
            connection,
            secret=loaded.secret_key.get_secret_value(),
            subject=subject,
            scopes=[scope.strip() for scope in scopes.split(",") if scope.strip()],
            expires_at=expires_at,
        )
    _show(issued, as_json=as_json)


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """Show all keys, without anything that could be used as one."""
    with _connection(settings.load(settings.Settings)) as connection:
        rows = [row._asdict() for row in keys.list_keys(connection)]
    if as_json:
        typer.echo(json.dumps(rows, default=lambda value: value.isoformat()))
        return
    table = Table(Column("prefix", no_wrap=True), "subject", "scopes", "created", "last used", "works")
    for row in rows:
        shown = (
            row["prefix"],
            row["subject"],
            "\n".join(row["scopes"]),
            _day(row["created_at"]),
            _day(row["last_used_at"]),
        )
        # Text: a subject is no markup, whatever brackets it has.
        table.add_row(*[Text(cell) for cell in (*shown, _state(row["expires_at"], row["revoked_at"]))])
    Console().print(table)


def _day(moment: dt.datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else ""


def _state(expires_at: dt.datetime | None, revoked_at: dt.datetime | None) -> str:
    if revoked_at is not None:
        return f"revoked {_day(revoked_at)}"
    if expires_at is None:
        return "yes"
    return f"{'until' if expires_at > dt.datetime.now(dt.UTC) else 'expired'} {_day(expires_at)}"


@app.command()
def revoke(key: str = typer.Argument(help="The key's prefix, or its full text.")) -> None:
    """End a key; the API refuses it within a second."""
    with _connection(settings.load(settings.Settings)) as connection:
        ended = keys.revoke_key(connection, key=key)
    typer.echo("revoked" if ended else "was revoked before")


@app.command()
def rotate(
    *,
    key: str = typer.Argument(help="The key's prefix, or its full text."),
    overlap_hours: float = typer.Option(24, min=0, max=24 * 90, help="How long the old key goes on working."),
    as_json: AsJson = False,
) -> None:
    """Make a key like the old one, which works on for a while."""
    loaded = settings.load(settings.ApiSettings)
    with _connection(loaded) as connection:
        issued = keys.rotate_key(
            connection,
            secret=loaded.secret_key.get_secret_value(),
            key=key,
            overlap=dt.timedelta(hours=overlap_hours),
        )
    _show(issued, as_json=as_json)
