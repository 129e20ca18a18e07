"""Recovery of a backup and an archive into a new cluster, to the end or to a moment."""

import datetime as dt
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.sandbox.engine.archive import before, restore_command
from runbooks.sandbox.engine.backup import Backup, verify
from runbooks.sandbox.engine.errors import (
    ArchiveGapError,
    EngineError,
    TargetBeforeBackupError,
    TargetNotReachedError,
)
from runbooks.sandbox.engine.wal import (
    HISTORY_LINE,
    SEGMENT_BYTES,
    Chain,
    chain,
    last_moment,
    parse_position,
    segment_at,
    segment_number,
)

if TYPE_CHECKING:
    from runbooks.sandbox.engine.cluster import Cluster

RECOVERY_SECONDS = 600.0
# What the server says when the log ends before the target, which was seen to be in it.
TARGET_NOT_REACHED = "recovery ended before configured recovery target"


def recover(
    backup: Backup, archive: Path, into: "Cluster", *, target: dt.datetime | None, uses_up: bool = False
) -> None:
    """Make a new cluster out of a backup and what was archived since.

    It ends open for writes, on a timeline of its own, with its own archive. The backup and the archive are only read.
    What cannot be done is refused before anything is made. The backup is verified while it is copied and recovered: of
    a damaged one nothing is left.

    Args:
        backup: where it begins.
        archive: the archive folder of the cluster that was backed up.
        into: the new cluster, with the password of the old one; it has no data yet.
        target: the moment; transactions that were committed then or before are there. None: to the archive's end.
        uses_up: the backup was taken only now and for this: its data becomes the cluster's, and is not verified.

    Raises:
        TargetBeforeBackupError: the moment is before the backup's end.
        TargetNotReachedError: the moment is after the last that the archive holds.
        ArchiveGapError: a segment that is needed is missing or damaged.
        BackupCorruptedError: the backup is not what was taken.
        EngineError: the versions differ, the cluster has data already, or PostgreSQL does not get through.
    """
    into.refuse_leftovers()
    if into.version != backup.version:
        message = f"a backup of PostgreSQL {backup.version} cannot be restored by PostgreSQL {into.version}"
        raise EngineError(message)
    if into.archive_folder == archive.absolute():
        message = f"a recovered cluster needs an archive of its own, not {archive}"
        raise EngineError(message)
    found = chain(archive, origin=backup.timeline, first=segment_at(backup.position))
    # With hot_standby, recovery would pause where the log needs more connections than this cluster's flags allow.
    settings = {"restore_command": restore_command(archive.absolute()), "hot_standby": "off"}
    if target is None:
        _refuse_gap(found, archive)
    else:
        _refuse_outside(target, backup, found, archive, into.programs)
        settings |= {
            "recovery_target_time": target.astimezone(dt.UTC).isoformat(sep=" ", timespec="microseconds"),
            "recovery_target_inclusive": "on",
            "recovery_target_action": "promote",
        }
    with ThreadPoolExecutor(1) as verifying:
        verified = None if uses_up else verifying.submit(verify, backup)
        try:
            try:
                _lay_out(backup, into, uses_up=uses_up)
                into.start(settings, seconds=RECOVERY_SECONDS)
            finally:
                # First of all: damage explains whatever else went wrong.
                if verified is not None:
                    verified.result()
            if target is None:
                _refuse_early_end(found, into, archive)
        except BaseException as error:
            into.kill()
            shutil.rmtree(into.data, ignore_errors=True)
            if isinstance(error, EngineError) and TARGET_NOT_REACHED in str(error):
                raise ArchiveGapError(_damaged(archive)) from None
            raise


def _lay_out(backup: Backup, into: "Cluster", *, uses_up: bool) -> None:
    into.prepare()
    unfinished = into.data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if uses_up:
        backup.data.rename(unfinished)
    else:
        shutil.copytree(backup.data, unfinished, symlinks=True)
    (unfinished / "backup_manifest").unlink()
    (unfinished / "standby.signal").unlink(missing_ok=True)
    (unfinished / "recovery.signal").touch(mode=0o600)
    unfinished.rename(into.data)
    into.configure({})


def _refuse_gap(found: Chain, archive: Path) -> None:
    if found.missing is not None:
        message = (
            f"the archive {archive} lacks the log's segment {found.missing}, or it is damaged; later ones are there"
        )
        raise ArchiveGapError(message)


def _refuse_outside(target: dt.datetime, backup: Backup, found: Chain, archive: Path, programs: Path) -> None:
    if target.tzinfo is None:
        message = f"the moment {target} needs a time zone"
        raise EngineError(message)
    if target < backup.ended_at:
        message = f"{_written(target)} is before the end of the backup, {_written(backup.ended_at)}"
        raise TargetBeforeBackupError(message)
    last = last_moment(found.segments, programs)
    if last is None or target > before(last):
        _refuse_gap(found, archive)
        window = (
            f"from {_written(backup.ended_at)} to {_written(before(last))}" if last else "empty: nothing is archived"
        )
        message = f"{_written(target)} is after what is archived; the window is {window}"
        raise TargetNotReachedError(message)


def _refuse_early_end(found: Chain, into: "Cluster", archive: Path) -> None:
    """See that recovery read the log to its end: PostgreSQL itself takes damage for the end."""
    history = max((into.data / "pg_wal").glob("*.history"))
    fork = parse_position(HISTORY_LINE.findall(history.read_text())[-1][1])
    if found.segments and fork < segment_number(found.segments[-1].name) * SEGMENT_BYTES:
        raise ArchiveGapError(_damaged(archive))


def _damaged(archive: Path) -> str:
    return f"recovery ended early: a segment in {archive} is damaged"


def _written(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(sep=" ", timespec="microseconds")
