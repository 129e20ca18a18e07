"""Streaming standbys: copies of a running cluster that follow it and can take over."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg2

from runbooks.local.files import read_from
from runbooks.local.ports import HOST
from runbooks.sandbox.engine.archive import restore_command
from runbooks.sandbox.engine.backup import base_copy
from runbooks.sandbox.engine.errors import EngineError
from runtime.errors import first_line

if TYPE_CHECKING:
    from runbooks.sandbox.engine.cluster import Cluster

STREAMING_SECONDS = 30.0
PROMOTION_SECONDS = 30.0
# Before a standby that does not come to its primary is made again: long, since most come within a second.
REJOIN_SECONDS = 10.0
# What a standby says, again and again, that has more of the log than its primary had when that was promoted.
DIVERGED = "forked off current database system timeline"
POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Lag:
    """How far a standby is behind: 0 and 0.0 when it has applied everything."""

    bytes: int
    # Since the last transaction that it applied was committed, or since it started.
    seconds: float


def name_of(standby: "Cluster") -> str:
    """What the primary calls a standby: its slot, and its application_name."""
    return f"standby_{hashlib.sha256(str(standby.folder).encode()).hexdigest()[:16]}"


def make(primary: "Cluster", standby: "Cluster") -> None:
    """Copy a running primary into a new standby, start it, and return when it streams.

    A standby that is to take over has its primary's `archive`, so that the archive goes on without a gap.

    Raises:
        EngineError: the standby has data already, or the primary does not answer.
    """
    standby.refuse_leftovers()
    standby.prepare()
    unfinished = standby.data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _ensure_slot(primary, standby)
    try:
        # The server sees to the disk when it starts on a copy.
        base_copy(primary, unfinished, "--slot", name_of(standby), "--no-manifest", "--no-sync")
        (unfinished / "standby.signal").touch(mode=0o600)
        unfinished.rename(standby.data)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        # The primary may be what failed.
        with contextlib.suppress(EngineError):
            release(primary, standby)
        raise
    standby.configure(_following(primary, standby))
    standby.start()
    _wait_streaming(primary, standby)


def follow(primary: "Cluster", standby: "Cluster", *, seconds: float = STREAMING_SECONDS) -> None:
    """Point a standby at a primary: another one, or one whose port has changed. Starts the standby if need be.

    Args:
        primary: a running one.
        standby: it has data.
        seconds: how long it may take until it streams.

    Raises:
        EngineError: it does not stream, as one that was ahead of the new primary; remove it and make it again.
    """
    _ensure_slot(primary, standby)
    log_start = standby.log.stat().st_size if standby.log.exists() else 0
    if standby.is_running:
        standby.reconfigure(_following(primary, standby))
    else:
        standby.configure(_following(primary, standby))
        standby.start()
    _wait_streaming(primary, standby, seconds, log_start)


def rejoin(primary: "Cluster", standby: "Cluster") -> None:
    """Let a standby follow a running primary, made again where it has no data or other data than its primary.

    Raises:
        EngineError: the primary does not answer, or cannot be copied.
    """
    if standby.exists:
        try:
            follow(primary, standby, seconds=REJOIN_SECONDS)
        except EngineError:
            # Whatever it has that its primary has not was never acknowledged.
            standby.remove()
        else:
            return
    make(primary, standby)


def delay(standby: "Cluster", seconds: float) -> None:
    """Let a running standby apply each commit so much later than it was made; 0: at once.

    It receives as before, so that nothing is lost when it is promoted.

    Raises:
        EngineError: it does not answer.
    """
    standby.reconfigure({"recovery_min_apply_delay": f"{round(seconds * 1000)}ms" if seconds else ""})


def stay(standby: "Cluster") -> None:
    """Let a running standby follow nobody: it keeps what it has, for reading. Its primary keeps the log for it.

    Raises:
        EngineError: it does not answer, or goes on.
    """
    standby.reconfigure({"primary_conninfo": "", "restore_command": ""})
    _wait(
        lambda: not standby.execute("SELECT FROM pg_stat_wal_receiver"),
        STREAMING_SECONDS,
        f"{standby.folder} goes on to follow its primary",
    )


def release(primary: "Cluster", standby: "Cluster") -> None:
    """Let a primary forget a standby, which has been stopped: the log is no longer kept for it.

    Raises:
        EngineError: the primary does not answer, or the standby still streams.
    """
    primary.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", name_of(standby)
    )


def lag(primary: "Cluster", standby: "Cluster") -> Lag:
    """How far a running standby is behind its running primary.

    Raises:
        EngineError: one of them does not answer.
    """
    [(written,)] = primary.execute("SELECT pg_current_wal_lsn()")
    [(behind, seconds)] = standby.execute(
        "SELECT greatest(pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn()), 0)::bigint,"
        " greatest(extract(epoch FROM clock_timestamp()"
        " - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())), 0)::float8",
        written,
    )
    return Lag(behind, seconds if behind else 0.0)


def promote(standby: "Cluster") -> None:
    """Let a standby take over; returns when it takes writes. Does nothing when it does already.

    What it has received is applied first. The former primary must be stopped or killed.

    Raises:
        EngineError: it does not answer, or not in time.
    """
    try:
        with standby.connect() as opened, opened.cursor() as cursor:

            def is_primary() -> bool:
                cursor.execute("SELECT NOT pg_is_in_recovery()")
                return bool((cursor.fetchone() or (False,))[0])

            if not is_primary():
                cursor.execute("SELECT pg_promote(wait => false)")
                _wait(is_primary, PROMOTION_SECONDS, f"{standby.folder} was not promoted")
    except psycopg2.Error as error:
        raise EngineError(first_line(error)) from None


def synchronous(primary: "Cluster", name: str | None) -> None:
    """Let commits wait until a standby has them on its disk; returns when that holds.

    Args:
        primary: a running one.
        name: the standby's (`name_of`); None: commits wait for no standby.

    Raises:
        EngineError: the primary does not answer, or no standby of that name streams.
    """
    primary.reconfigure({"synchronous_standby_names": name or ""})
    if name is None:
        return

    def is_synchronous() -> bool:
        states = primary.execute("SELECT sync_state FROM pg_stat_replication WHERE application_name = %s", name)
        return states == [("sync",)]

    try:
        _wait(is_synchronous, STREAMING_SECONDS, f"no standby {name} streams from {primary.folder}")
    except EngineError:
        # Else every commit would wait for it.
        primary.reconfigure({"synchronous_standby_names": ""})
        raise
    # The checkpointer is what tells sessions to wait, and it has read the setting when it answers.
    primary.execute("CHECKPOINT")


def _following(primary: "Cluster", standby: "Cluster") -> dict[str, str]:
    # The password is in the passfile that the server finds by its environment.
    name = name_of(standby)
    return {
        "primary_conninfo": f"host={HOST} port={primary.port} user={primary.superuser} application_name={name}"
        " sslmode=disable gssencmode=disable",
        "primary_slot_name": name,
        # What the primary no longer has, after a long time away, is in its archive.
        "restore_command": restore_command(primary.archive_folder),
    }


def _ensure_slot(primary: "Cluster", standby: "Cluster") -> None:
    primary.execute(
        "SELECT pg_create_physical_replication_slot(name, true) FROM (SELECT %s::name) AS wanted (name)"
        " WHERE name NOT IN (SELECT slot_name FROM pg_replication_slots)",
        name_of(standby),
    )


def _wait_streaming(
    primary: "Cluster", standby: "Cluster", seconds: float = STREAMING_SECONDS, log_start: int | None = None
) -> None:
    name = name_of(standby)

    def is_streaming() -> bool:
        states = primary.execute("SELECT state FROM pg_stat_replication WHERE application_name = %s", name)
        if log_start is not None and any(DIVERGED in line for line in read_from(standby.log, log_start)):
            message = f"{standby.folder} has what {primary.folder} has not"
            raise EngineError(message)
        return states == [("streaming",)]

    message = f"{standby.folder} does not stream from {primary.folder} (see {standby.log})"
    _wait(is_streaming, seconds, message)


def _wait(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"{complaint} within {seconds:.0f} s"
            raise EngineError(message)
        time.sleep(POLL_SECONDS)
