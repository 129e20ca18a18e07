"""The runtime's own commands."""

import typer

from runtime.commands import database, keys, monitoring, recovery, serve


def register(app: typer.Typer) -> None:
    """Add them to a command line."""
    app.command("serve")(serve.serve)
    app.command("migrate")(database.migrate)
    app.command("partitions")(database.partitions)
    app.command("forget-idempotency-keys")(database.forget_idempotency_keys)
    app.command("recovery-marker")(recovery.recovery_marker)
    app.command("verify-backup")(recovery.verify_backup)
    app.command("publish-metrics")(monitoring.publish_metrics)
    app.add_typer(keys.app, name="keys")
