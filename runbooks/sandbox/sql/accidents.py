"""Accidents of one instance, at run time: the sandbox's own calls, not Google's."""

from collections.abc import Callable
from functools import partial

from runbooks.sandbox.engine import standby
from runbooks.sandbox.engine.archive import Archive
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.sql import disk
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

SEGMENT_LENGTH = 24
# In seconds: within what PostgreSQL can delay.
MOST_LAG = 20 * 24 * 3600
HELP = (
    'write {"network": "cut" or "whole"}, {"latency": SECONDS}, {"archive": "gap"}, {"primary": "kill"}, '
    '{"standby": "kill"}, {"lag": SECONDS} or {"disk": "full"}'
)


def happen(sql: Sql, project: str, name: str, body: Document) -> None:
    """Let accidents happen.

    Args:
        sql: the service.
        project: the instance's project.
        name: the instance's name.
        body: `network` loses everything, or carries again; `latency` is added to the way of each piece of data;
            `archive` loses the newest piece of the log; `primary` and `standby` lose every process of that server;
            `lag` lets a replica apply commits so much later; `disk` is full.

    Raises:
        ApiError: there is no such instance, or its disk cannot fill up as it is now.
        SandboxError: there is no such accident, or not of this instance. Nothing has happened then.
    """
    instance = sql.instances.get(project, name)
    accidents = [_accident(sql, instance, kind, value) for kind, value in body.items()]
    if not accidents:
        raise SandboxError(HELP)
    if "standby" in body and instance.standby is None:
        message = f"{name} has no standby: its availabilityType is not REGIONAL"
        raise SandboxError(message)
    if "lag" in body and not instance.primary:
        message = f"{name} is no replica, so nothing of it can lag"
        raise SandboxError(message)
    for accident in accidents:
        accident()


def _accident(sql: Sql, instance: Instance, kind: str, value: object) -> Callable[[], None]:
    if isinstance(value, str) and (kind, value) in WITH_A_WORD:
        return partial(WITH_A_WORD[kind, value], sql, instance)
    if isinstance(value, int | float) and kind in WITH_SECONDS:
        happens, most = WITH_SECONDS[kind]
        if 0 <= value <= most:
            return partial(happens, sql, instance, float(value))
    raise SandboxError(HELP)


def _cut_off(is_cut_off: bool, sql: Sql, instance: Instance) -> None:  # noqa: FBT001  # the front's own switch
    sql.fleet.front(instance).cut_off(is_cut_off)


def _slow_down(sql: Sql, instance: Instance, seconds: float) -> None:
    sql.fleet.front(instance).slow_down(seconds)


def _lose_log(sql: Sql, instance: Instance) -> None:
    cluster = sql.fleet.cluster(instance)
    Archive(cluster.archive_folder, programs=cluster.programs).switch(cluster)
    segments = [path for path in cluster.archive_folder.iterdir() if len(path.name) == SEGMENT_LENGTH]
    max(segments, key=lambda path: path.name).unlink()


def _kill_primary(sql: Sql, instance: Instance) -> None:
    # At any time, also in the midst of an operation.
    sql.fleet.cluster(instance).kill()


def _kill_standby(sql: Sql, instance: Instance) -> None:
    sql.fleet.cluster(instance, instance.standby).kill()


def _lag(sql: Sql, instance: Instance, seconds: float) -> None:
    standby.delay(sql.fleet.cluster(instance), seconds)


def _fill_disk(sql: Sql, instance: Instance) -> None:
    def fill() -> None:
        current = sql.instances.get(instance.project, instance.name)
        current.require_running()
        changed = disk.filled(current)
        sql.instances.put(changed)
        if disk.is_full(changed):
            # As after PANIC; the standby has the same disk.
            sql.fleet.halt(changed)

    sql.operations.aside(instance.project, [instance.name], fill)


WITH_A_WORD: dict[tuple[str, str], Callable[[Sql, Instance], None]] = {
    ("network", "cut"): partial(_cut_off, True),
    ("network", "whole"): partial(_cut_off, False),
    ("archive", "gap"): _lose_log,
    ("primary", "kill"): _kill_primary,
    ("standby", "kill"): _kill_standby,
    ("disk", "full"): _fill_disk,
}
# With the most that it may be.
WITH_SECONDS: dict[str, tuple[Callable[[Sql, Instance, float], None], float]] = {
    "latency": (_slow_down, float("inf")),
    "lag": (_lag, MOST_LAG),
}
