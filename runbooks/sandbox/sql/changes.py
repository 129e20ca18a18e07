"""Changing an instance's settings, with the effect that a change has."""

from dataclasses import dataclass

from runbooks.sandbox.sql import backups, disk, high_availability, replicas, replication, resources, rules, upgrade
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import invalid_request, stale_data
from runbooks.sandbox.sql.fleet import known_flags
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

# What callers may send along without changing it.
FIXED = ("name", "project", "region", "databaseVersion", "masterInstanceName")


def patch(sql: Sql, call: Call) -> Document:
    """`instances.patch`: what is sent is merged into what is there."""
    instance = sql.instances.get(call.project, call.instance)
    version = call.body.get("settings", {}).get("settingsVersion")
    if version is not None and str(version) != instance.settings["settingsVersion"]:
        raise stale_data()
    if upgrade.is_asked(call, instance):
        return upgrade.begin(sql, call, instance)
    return _change(sql, call, instance, rules.merged(instance.settings, rules.written(call.body.get("settings", {}))))


def update(sql: Sql, call: Call) -> Document:
    """`instances.update`: what is sent takes the place of what is there."""
    instance = sql.instances.get(call.project, call.instance)
    call.required("settings", "tier")
    if str(call.required("settings", "settingsVersion")) != instance.settings["settingsVersion"]:
        raise stale_data()
    return _change(sql, call, instance, rules.completed(call.body["settings"]))


def _change(sql: Sql, call: Call, instance: Instance, settings: Document) -> Document:
    for field in FIXED:
        if field in call.body and call.body[field] != instance.resource.get(field):
            message = f"{field} cannot be changed."
            raise invalid_request(message)
    settings = settings | {"settingsVersion": instance.settings["settingsVersion"]}
    rules.check(settings, is_replica=bool(instance.primary))
    replication.check(instance, settings)
    rules.check_flags(settings, known_flags(rules.version_of(instance.resource)))
    wanted = instance.has(
        settings=settings, ipAddresses=resources.addresses(settings, instance.address), **_replication(call)
    ).bumped()
    replicas.check_dr_replica(sql, wanted, call.body)

    def work(task: Task) -> None:
        task.checkpoint()
        _Change(sql, instance, wanted, call, task).carry_out()

    return sql.operations.begin(call, "UPDATE", instance.name, work)


def _replication(call: Call) -> Document:
    if "replicationCluster" not in call.body:
        return {}
    return {"replicationCluster": call.body["replicationCluster"] or None}


@dataclass(frozen=True)
class _Change:
    """From the settings that an instance has to those that it shall have."""

    sql: Sql
    old: Instance
    new: Instance
    call: Call
    task: Task

    def carry_out(self) -> None:
        """Do what the change needs, then write it down. When PostgreSQL does not take it, all is as it was."""
        try:
            changed = self._with_effects()
        except BaseException:
            if self.old.runs and not disk.is_full(self.old):
                self.sql.fleet.serve(self.old)
            raise
        self.sql.instances.put(changed)
        self._show_dr_replica()

    def _with_effects(self) -> Instance:
        new = disk.resized(self.old, self.new) if disk.is_full(self.old) else self.new
        if disk.is_full(new):
            return new
        if not new.runs:
            self._stop()
            return new
        flags = rules.flags_of(new.resource)
        if not self.old.runs or disk.is_full(self.old):
            new = self._start(new, flags)
        elif flags != rules.flags_of(self.old.resource) or self._edition_or_tier_changed():
            self.sql.fleet.cut(new)
            standby = self.sql.fleet.standby(new)
            if standby is not None:
                standby.restart(flags)
            self.sql.fleet.cluster(new).restart(flags)
        if not new.primary and new.is_regional and new.standby is None:
            new = high_availability.add_standby(self.sql, new)
        elif not new.is_regional and new.standby is not None:
            new = high_availability.remove_standby(self.sql, new)
        if new.primary and replication.is_on(new) != replication.is_on(self.old):
            replication.carry_out(self.sql, new)
        self.sql.fleet.serve(new)
        if self._begins_recovery():
            backups.automatic(self.sql, new, self.call, self.task)
        return new

    def _edition_or_tier_changed(self) -> bool:
        return any(self.old.settings.get(name) != self.new.settings.get(name) for name in ("edition", "tier"))

    def _begins_recovery(self) -> bool:
        def has_it(instance: Instance) -> bool:
            return bool(instance.settings.get("backupConfiguration", {}).get("pointInTimeRecoveryEnabled"))

        return has_it(self.new) and not has_it(self.old) and not self.new.primary

    def _stop(self) -> None:
        self.sql.fleet.cut(self.new)
        self.sql.fleet.cluster(self.new).stop()
        standby = self.sql.fleet.standby(self.new)
        if standby is not None:
            standby.stop()

    def _start(self, new: Instance, flags: dict[str, str]) -> Instance:
        self.sql.fleet.cluster(new).restart(flags)
        return high_availability.resume_standby(self.sql, new)

    def _show_dr_replica(self) -> None:
        name = self.new.resource.get("replicationCluster", {}).get("failoverDrReplicaName", "").rpartition(":")[2]
        for each in self.new.replicas:
            replica = self.sql.instances.get(self.new.project, each)
            self.sql.instances.change(replica, replicationCluster={"drReplica": True} if each == name else None)
