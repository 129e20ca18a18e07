"""What Cloud SQL does unasked: a server that died is started again, or its standby takes over."""

import threading
import time

from runbooks.sandbox.sql import healing, high_availability
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import ApiError, invalid_state
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql

POLL_SECONDS = 0.2
# Before a standby that could not be made is tried again.
RETRY_SECONDS = 10.0
USER = "service@holdfast.invalid"
# What no method is called, so that no fault concerns it but those of all operations.
METHOD = "operations.heal"
FAILOVER, RESTART, RECREATE, EXCHANGE = "FAILOVER", "AUTO_RESTART", "RECREATE_REPLICA", "RECONFIGURE_OLD_PRIMARY"


class Watcher:
    """Looks after all instances in a thread of its own. What it does is an operation, so it disturbs no other."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._not_before: dict[str, float] = {}

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more. What was begun goes on."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            for instance in self._sql.instances.all():
                if self._not_before.get(instance.key, 0.0) < time.monotonic():
                    self._look(instance)

    def _look(self, instance: Instance) -> None:
        # A replica turns to its primary, and the primary's own operations to its replicas.
        holds = [instance.name, *filter(None, [instance.successor, instance.primary])]
        if not self._sql.operations.are_free(instance.project, holds):
            return
        need = self._need(instance)
        if need is None:
            return

        def prepare() -> None:
            # Now nobody else works on it: it must still be so.
            if self._current_need(instance) != need:
                message = "The instance is well."
                raise invalid_state(message)

        def work(task: Task) -> None:
            self._heal(self._sql.instances.get(instance.project, instance.name), need, task)

        base = str(instance.resource["selfLink"]).partition("/projects/")[0]
        call = Call(METHOD, {"project": instance.project, "instance": instance.name}, {}, {}, USER, base)
        try:
            self._sql.operations.begin(call, need, instance.name, work, also=holds[1:], prepare=prepare)
        except ApiError:
            # Somebody was quicker.
            return

    def _current_need(self, instance: Instance) -> str | None:
        current = self._sql.instances.find(instance.project, instance.name)
        return self._need(current) if current else None

    def _need(self, instance: Instance) -> str | None:
        """The type of the operation that an instance needs, if it needs one."""
        if instance.state != "RUNNABLE" or not instance.runs:
            return None
        if instance.successor:
            return EXCHANGE
        standby = self._sql.fleet.standby(instance)
        if not self._sql.fleet.is_served(instance):
            return FAILOVER if standby is not None and standby.is_running else RESTART
        if instance.is_regional and not instance.primary and (standby is None or not standby.is_running):
            return RECREATE
        return None

    def _heal(self, instance: Instance, need: str, task: Task) -> None:
        try:
            if need == FAILOVER:
                high_availability.fail_over(self._sql, instance, task)
            elif need == RECREATE:
                high_availability.renew_standby(self._sql, instance)
            else:
                healing.bring_up(self._sql, instance)
        except Exception:
            self._not_before[instance.key] = time.monotonic() + RETRY_SECONDS
            current = self._sql.instances.find(instance.project, instance.name)
            if current is not None and need == RESTART and not self._sql.fleet.is_served(current):
                self._sql.instances.change(current, state="FAILED")
            raise
