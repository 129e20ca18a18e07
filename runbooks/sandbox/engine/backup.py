"""Physical backups of a running cluster."""

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.local.files import write_private
from runbooks.local.ports import HOST
from runbooks.sandbox.engine.errors import BackupCorruptedError, EngineError
from runbooks.sandbox.engine.programs import programs_of, run
from runbooks.sandbox.engine.wal import parse_position

if TYPE_CHECKING:
    from runbooks.sandbox.engine.cluster import Cluster

FACTS = "backup.json"


@dataclass(frozen=True)
class Backup:
    """A base backup: a folder with the data, the log to make it consistent, and a manifest of checksums.

    Times are the server's clock.
    """

    folder: Path
    started_at: dt.datetime
    # No moment before this one can be recovered to.
    ended_at: dt.datetime
    bytes: int
    # PostgreSQL's major version.
    version: int
    # Where in the log it ends.
    timeline: int
    position: int

    @property
    def data(self) -> Path:
        """The copy of the data folder."""
        return self.folder / "data"


def take(cluster: "Cluster", folder: Path) -> Backup:
    """Copy a running cluster into a new folder, which is there whole or not at all.

    Raises:
        EngineError: the folder exists, or the cluster does not answer.
    """
    if folder.exists():
        message = f"{folder} exists already"
        raise EngineError(message)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    try:
        started_at = _now(cluster)
        base_copy(cluster, unfinished / "data", *([] if cluster.waits_for_disk else ["--no-sync"]))
        facts = {
            "started_at": started_at.isoformat(),
            "ended_at": _now(cluster).isoformat(),
            "bytes": sum(path.stat().st_size for path in unfinished.rglob("*") if path.is_file()),
        }
        write_private(unfinished / FACTS, json.dumps(facts))
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return load(folder)


def load(folder: Path) -> Backup:
    """A backup that was taken before.

    Raises:
        BackupCorruptedError: there is none, or it lacks what says how to restore it.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
        manifest = json.loads((folder / "data" / "backup_manifest").read_bytes())
        newest = manifest["WAL-Ranges"][-1]
        return Backup(
            folder=folder,
            started_at=dt.datetime.fromisoformat(facts["started_at"]),
            ended_at=dt.datetime.fromisoformat(facts["ended_at"]),
            bytes=facts["bytes"],
            version=int((folder / "data" / "PG_VERSION").read_text()),
            timeline=newest["Timeline"],
            position=parse_position(newest["End-LSN"]),
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        message = f"{folder} is not a whole backup: {error}"
        raise BackupCorruptedError(message) from None


def verify(backup: Backup) -> None:
    """Compare every file with the manifest's checksums, and read the log that makes the copy consistent.

    Raises:
        BackupCorruptedError: a file is missing, changed or too many.
    """
    program = programs_of(backup.version) / "pg_verifybackup"
    try:
        # From within: it gives the folder's name to a shell, which would take a quote or a dollar in it for its own.
        run(program, "--exit-on-error", "--quiet", ".", folder=backup.data)
    except EngineError as error:
        message = f"the backup {backup.folder} is corrupted: {error}"
        raise BackupCorruptedError(message) from None


def base_copy(cluster: "Cluster", data: Path, *options: str) -> None:
    """Copy a running cluster's data folder, with the log that makes the copy consistent.

    Raises:
        EngineError: the cluster does not answer, or the copy fails.
    """
    run(
        cluster.programs / "pg_basebackup",
        *("-h", HOST, "-p", str(cluster.port), "-U", cluster.superuser, "--no-password"),
        *("-D", str(data), "--checkpoint=fast", "--wal-method=stream", *options),
        environment=cluster.environment,
    )


def _now(cluster: "Cluster") -> dt.datetime:
    now: dt.datetime = cluster.execute("SELECT clock_timestamp()")[0][0]
    return now.astimezone(dt.UTC)
