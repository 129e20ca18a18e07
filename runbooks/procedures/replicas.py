"""Read replicas: made, measured, promoted. What several procedures against disasters share."""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.engine.errors import FailedError
from runbooks.engine.run import Run
from runbooks.procedures.recovered import find
from runtime.cloudsql.instance_settings import ip_configuration_of
from runtime.cloudsql.models import Instance
from runtime.errors import first_line

# What a replica has as its primary, beside tier, edition and flags.
ALIKE = (
    "connectorEnforcement",
    "dataCacheConfig",
    "dataDiskType",
    "insightsConfig",
    "storageAutoResize",
    "userLabels",
)
# A commit that no table shows, and that every replica gets; a standby refuses it.
MARK = "SELECT pg_logical_emit_message(true, 'holdfast', %s)"
SEEN = "SELECT pg_last_xact_replay_timestamp(), coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), true)"
MARKED = "SELECT max(written_at) FROM recovery_markers"
POLL_SECONDS = 0.02
CONNECT_SECONDS = 5
WRITE_SECONDS = 900.0
WRITE_POLL_SECONDS = 0.1
DISK_FIELD = "dataDiskSizeGb"


@dataclass(frozen=True)
class Position:
    """How far a replica is.

    Attributes:
        replayed_at: when the newest commit was made that it has; None if nothing tells.
        is_whole: whether it has applied all that it received.
    """

    replayed_at: dt.datetime | None
    is_whole: bool


def primary_of(instance: Instance) -> str | None:
    """Whose replica it is."""
    return (instance.master_instance_name or "").rpartition(":")[2] or None


def is_stopped(instance: Instance) -> bool:
    """Whether its owner stopped it; its state is RUNNABLE even so."""
    return instance.settings.activation_policy == "NEVER"


def settle(run: Run, name: str) -> None:
    """Wait for whatever is under way on an instance, such as what a step that was cut off began. How it ends shows."""
    for operation in reversed(run.tools.admin.operations.list(name)):
        if not operation.is_done:
            try:
                run.wait(operation)
            except FailedError as error:
                run.progress(str(error))


def make(run: Run, name: str, region: str, *, deletion_protection: bool) -> Instance:
    """Make a replica of the target's instance, or find the one that was made already.

    Raises:
        FailedError: NOT_ITS_REPLICA or REPLICA_FAILED; or Google's code.
    """
    primary = run.instance()
    if find(run, name) is None:
        operation = run.tools.admin.instances.insert(
            name,
            database_version=primary.database_version,
            region=region,
            tier=primary.settings.tier,
            edition="ENTERPRISE_PLUS" if primary.settings.edition == "ENTERPRISE_PLUS" else "ENTERPRISE",
            availability="ZONAL",
            flags={flag.name: flag.value for flag in primary.settings.database_flags},
            deletion_protection=deletion_protection,
            settings=copied(primary),
            primary=primary.name,
        )
        run.wait(operation)
    settle(run, name)
    made = run.instance(name)
    if primary_of(made) != primary.name:
        code = "NOT_ITS_REPLICA"
        message = f"{name} is not a replica of {primary.name}"
        raise FailedError(code, message)
    if made.state != "RUNNABLE":
        code = "REPLICA_FAILED"
        message = f"{name} is {made.state}: delete it, and choose another name (its own is taken for a week)"
        raise FailedError(code, message)
    return made


def copied(primary: Instance) -> dict[str, Any]:
    """The settings in which a replica is as its primary, in Google's names."""
    given = primary.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    alike = {name: given[name] for name in ALIKE if name in given}
    alike["ipConfiguration"] = ip_configuration_of(primary.settings)
    # An int64, which Google's JSON has as a string. A replica's disk is never smaller.
    return alike | ({DISK_FIELD: str(given[DISK_FIELD])} if DISK_FIELD in given else {})


def lag(run: Run, name: str, *, limit: float, times: int) -> float:
    """Commit something on the target's instance, again and again, and see it arrive on its replica.

    Args:
        run: this one; its step may write.
        name: the replica.
        limit: the seconds within which each commit has to be there.
        times: how often, after a first one that also waits for what was written while the replica was made.

    Returns:
        The longest that one took, in seconds.

    Raises:
        FailedError: REPLICA_BEHIND or DATABASE_UNREACHABLE.
    """
    try:
        # Both connections first: what is measured is the way of the log, not that of the handshakes.
        with run.tools.connect() as primary, run.tools.connect(name) as replica:
            took = [_arrival(run, primary, replica, limit) for _ in range(times + 1)]
    except psycopg2.Error as error:
        code = "DATABASE_UNREACHABLE"
        message = f"{run.target.instance} or {name}: {first_line(error)}"
        raise FailedError(code, message) from None
    worst = max(took[1:])
    if max(took[0], worst) > limit:
        code = "REPLICA_BEHIND"
        message = f"{name} has not what was committed {max(took):.1f} s before; the limit is {limit:g} s"
        raise FailedError(code, message)
    return worst


def _arrival(run: Run, primary: Connection, replica: Connection, limit: float) -> float:
    with primary.cursor() as writing, replica.cursor() as reading:
        writing.execute(MARK, (run.id,))
        acknowledged = time.monotonic()
        writing.execute("SELECT pg_current_wal_flush_lsn()::text")
        (place,) = writing.fetchone() or ("0/0",)
        while True:
            reading.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (place,))
            (is_there,) = reading.fetchone() or (False,)
            took = time.monotonic() - acknowledged
            if is_there or took > limit:
                return took
            time.sleep(POLL_SECONDS)


def position(run: Run, name: str) -> Position:
    """How far a replica is, whether its primary answers or not.

    Raises:
        FailedError: DATABASE_UNREACHABLE.
    """
    [(replayed_at, is_whole)] = run.tools.query(SEEN, instance=name)
    try:
        # One is written every five minutes, and it outlives a restart of the replica.
        [(marked_at,)] = run.tools.query(MARKED, instance=name)
    except FailedError as error:
        run.progress(str(error))
        marked_at = None
    known = [one for one in (replayed_at, marked_at) if one is not None]
    return Position(max(known, default=None), is_whole)


def promote(run: Run, name: str, *, failover: bool = False) -> dt.datetime:
    """Let a replica become an instance of its own, unless it is one by now.

    Args:
        run: this one; its step may write.
        name: the replica.
        failover: whether it takes the primary's place, as Enterprise Plus has it.

    Returns:
        When the first write to it was acknowledged.

    Raises:
        FailedError: NO_WRITES, it takes none; or Google's code.
    """
    settle(run, name)
    admin = run.tools.admin
    operation = admin.instances.promote_replica(name, failover=failover) if primary_of(run.instance(name)) else None
    deadline = time.monotonic() + WRITE_SECONDS
    # It takes writes before the operation has ended.
    while (written := _write(run, name)) is None:
        if operation is not None and admin.operations.get(operation.name).is_done:
            run.wait(operation)
        if time.monotonic() > deadline:
            code = "NO_WRITES"
            message = f"{name} takes no writes {WRITE_SECONDS:g} s after it was promoted"
            raise FailedError(code, message)
        time.sleep(WRITE_POLL_SECONDS)
    if operation is not None:
        run.wait(operation)
    return written


def _write(run: Run, name: str) -> dt.datetime | None:
    try:
        with run.tools.connect(name, seconds=CONNECT_SECONDS) as opened, opened.cursor() as cursor:
            cursor.execute(MARK, (run.id,))
    except psycopg2.Error:
        return None
    return dt.datetime.now(dt.UTC)
