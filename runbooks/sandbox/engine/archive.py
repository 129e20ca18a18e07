"""A cluster's continuous archive of its write-ahead log: a folder with its segments."""

import datetime as dt
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.sandbox.engine.backup import Backup
from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.engine.wal import last_moment, segment_at, segment_number, segments_in

if TYPE_CHECKING:
    from runbooks.sandbox.engine.cluster import Cluster

SWITCH_SECONDS = 30.0
POLL_SECONDS = 0.01


class Archive:
    """The WAL archive of one cluster, or of a primary and the standby that may take over from it.

    Args:
        folder: the cluster's `archive_folder`.
        programs: PostgreSQL's, of the version that wrote it.
    """

    def __init__(self, folder: Path, *, programs: Path) -> None:
        self.folder = folder
        self.programs = programs

    def switch(self, cluster: "Cluster") -> None:
        """Return when everything that the cluster wrote so far is in the archive.

        Every moment up to this call can be recovered to afterwards, also when nothing was written for a while.

        Raises:
            EngineError: the cluster does not answer, or cannot archive.
        """
        # Recovery stops before the first transaction after its target, so there has to be one. It waits for no standby.
        cluster.execute("SET synchronous_commit = local; SELECT pg_current_xact_id()")
        [(name,)] = cluster.execute("SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + SWITCH_SECONDS
        while not (self.folder / name).exists():
            if time.monotonic() > deadline:
                [(failed, last)] = cluster.execute("SELECT failed_count, last_failed_wal FROM pg_stat_archiver")
                message = (
                    f"the log's segment {name} was not archived within {SWITCH_SECONDS:.0f} s "
                    f"(failed attempts: {failed}, the last at {last}; see {cluster.log})"
                )
                raise EngineError(message)
            time.sleep(POLL_SECONDS)

    def latest(self) -> dt.datetime | None:
        """The last moment that can be recovered to; None when the archive holds no transaction."""
        there = segments_in(self.folder)
        moment = last_moment(there, self.programs)
        return before(moment) if moment else None

    def forget_before(self, backup: Backup) -> None:
        """Delete the segments that no recovery from this backup, or from a later one, needs."""
        for segment in segments_in(self.folder):
            if segment_number(segment.name) < segment_at(backup.position):
                segment.unlink(missing_ok=True)


def before(moment: dt.datetime) -> dt.datetime:
    """The last moment that lies before one, for PostgreSQL."""
    return moment - dt.timedelta(microseconds=1)


def archive_command(folder: Path, *, wait_for_disk: bool) -> str:
    """The command by which a server archives a segment.

    A segment is in the archive whole, or not at all. One that is there already is accepted when it
    is the same: a primary and its standby may both archive it.
    """
    # PostgreSQL replaces %f by the segment's name and %p by its path, and %% by a percent sign.
    target = shlex.quote(str(folder)).replace("%", "%%")
    new = f"{target}/.%f.$$"
    sync = f"sync {new} && " if wait_for_disk else ""
    return f"if test -f {target}/%f; then exec cmp -s %p {target}/%f; fi; cp %p {new} && {sync}mv {new} {target}/%f"


def restore_command(folder: Path) -> str:
    """The command by which a server fetches a segment. One that is missing ends the log; a failure ends the server."""
    source = shlex.quote(str(folder)).replace("%", "%%")
    return f"test -f {source}/%f || exit 1; cp {source}/%f %p || exit 255"
