"""Commands on the schema."""

import typer

from runtime import settings
from runtime.db.engine import make_engine
from runtime.db.migrate import migrate as run_migrate
from runtime.jobs.idempotency import count_expired, forget_expired
from runtime.jobs.partitions import MONTHS_AHEAD, ensure_partitions


def migrate() -> None:
    """Check the database, then bring roles, schema, extensions and grants up to date."""
    outcome = run_migrate(settings.load(settings.Settings))
    if outcome.before == outcome.after:
        typer.echo(f"schema at {outcome.after}, nothing to do; roles and grants checked")
    else:
        typer.echo(f"schema {outcome.before or 'none'} => {outcome.after}; roles and grants set")
    for name in outcome.absent_extensions:
        typer.echo(
            f"extension {name} is absent: this server does not offer it, or this user may not create it", err=True
        )


def partitions(
    months_ahead: int = typer.Option(MONTHS_AHEAD, min=0, max=24, help="How many months after this one."),
) -> None:
    """Make the metrics' monthly partitions that are not there yet."""
    engine = make_engine(settings.load(settings.Settings), application_name="holdfast-partitions", duty="jobs")
    try:
        made = ensure_partitions(engine, months_ahead=months_ahead)
    finally:
        engine.dispose()
    for partition in made:
        typer.echo(f"{partition.name} made, {partition.rows_moved} waiting rows moved into it")
    if not made:
        typer.echo("all partitions are there")


def forget_idempotency_keys(
    apply: bool = typer.Option(False, "--apply", help="Delete them; without it they are only counted."),  # noqa: FBT001  # typer's way to a flag
) -> None:
    """Delete the idempotency keys that are older than the 24 hours that they are good for."""
    engine = make_engine(settings.load(settings.Settings), application_name="holdfast-idempotency", duty="jobs")
    try:
        if apply:
            typer.echo(f"{forget_expired(engine)} expired idempotency keys deleted")
        else:
            typer.echo(f"{count_expired(engine)} expired idempotency keys; nothing deleted: --apply deletes them")
    finally:
        engine.dispose()
