"""Backups: taken, read, deleted."""

from runtime.cloudsql.models import BackupRun, Operation
from runtime.cloudsql.transport import Transport


class BackupRuns:
    """The calls on `backupRuns`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def insert(self, instance: str, *, description: str = "") -> Operation:
        """Take one now."""
        body = {"description": description} if description else {}
        return self._transport.read(
            Operation, "POST", "instances", instance, "backupRuns", about=f"instance {instance}", body=body
        )

    def list(self, instance: str, *, limit: int | None = None) -> list[BackupRun]:
        """Read them, newest first.

        Args:
            instance: whose.
            limit: how many; by default all.
        """
        return self._transport.items(
            BackupRun,
            *("instances", instance, "backupRuns"),
            about=f"instance {instance}",
            query={"maxResults": limit},
            limit=limit,
        )

    def get(self, instance: str, backup_run: int) -> BackupRun:
        """Read one."""
        return self._transport.read(
            BackupRun, "GET", *_path(instance, backup_run), about=f"backup {backup_run} of instance {instance}"
        )

    def delete(self, instance: str, backup_run: int) -> Operation:
        """Delete one."""
        return self._transport.read(
            Operation, "DELETE", *_path(instance, backup_run), about=f"backup {backup_run} of instance {instance}"
        )


def _path(instance: str, backup_run: int) -> tuple[str, ...]:
    return "instances", instance, "backupRuns", str(backup_run)
