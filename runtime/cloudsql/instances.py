"""Instances: made, read, changed, deleted."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import SecretStr

from runtime.cloudsql.errors import StaleDataError, UnexpectedAnswerError
from runtime.cloudsql.instance_settings import settings_of
from runtime.cloudsql.models import Activation, Availability, Edition, Instance, Operation, RecoveryWindow
from runtime.cloudsql.transport import Transport, parsed, timestamp

# Another writer each time: more often than this it is not chance.
STALE_TRIES = 5


class Instances:
    """The calls on `instances`. What changes something answers with an operation, to be waited for."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: str) -> Instance:
        """Read one.

        Raises:
            NotFoundOrForbiddenError: it is missing, or these credentials may not see it.
        """
        return self._transport.read(Instance, "GET", "instances", name, about=_about(name))

    def list(self, *, matching: str | None = None) -> list[Instance]:
        """Read all.

        Args:
            matching: Google's filter, as `settings.userLabels.purpose:verification`.
        """
        return self._transport.items(
            Instance, "instances", about=f"project {self._transport.project}", query={"filter": matching}
        )

    def insert(
        self,
        name: str,
        *,
        database_version: str,
        region: str,
        tier: str,
        edition: Edition,
        availability: Availability | None = None,
        flags: Mapping[str, str] | None = None,
        deletion_protection: bool = True,
        settings: Mapping[str, Any] | None = None,
        primary: str | None = None,
        root_password: SecretStr | None = None,
        encryption_key: str | None = None,
    ) -> Operation:
        """Make one.

        Args:
            name: free for a week after another one of it was deleted.
            database_version: as `POSTGRES_18`.
            region: as `us-central1`.
            tier: the machine, as `db-custom-2-8192`.
            edition: always said: the service's own choice refuses the tiers of the cheaper one.
            availability: REGIONAL has a standby.
            flags: of the database.
            deletion_protection: whether the service refuses to delete it.
            settings: what else `settings` has, in Google's names.
            primary: whose replica it is.
            root_password: of the user `postgres`.
            encryption_key: the customer's own, in the same region; None is Google's.
        """
        body: dict[str, Any] = {
            "name": name,
            "databaseVersion": database_version,
            "region": region,
            "settings": settings_of(
                settings,
                tier=tier,
                edition=edition,
                availability=availability,
                flags=flags,
                deletion_protection=deletion_protection,
            ),
        }
        if primary is not None:
            body["masterInstanceName"] = primary
        if root_password is not None:
            body["rootPassword"] = root_password.get_secret_value()
        if encryption_key is not None:
            body["diskEncryptionConfiguration"] = {"kmsKeyName": encryption_key}
        return self._transport.read(Operation, "POST", "instances", about=_about(name), body=body)

    def patch(
        self,
        name: str,
        *,
        tier: str | None = None,
        edition: Edition | None = None,
        availability: Availability | None = None,
        activation: Activation | None = None,
        flags: Mapping[str, str] | None = None,
        deletion_protection: bool | None = None,
        settings: Mapping[str, Any] | None = None,
        settings_version: int | None = None,
    ) -> Operation:
        """Change what is named and nothing else.

        Args:
            name: whose.
            tier: the machine; the instance restarts.
            edition: ENTERPRISE or ENTERPRISE_PLUS.
            availability: REGIONAL has a standby.
            activation: NEVER stops it, ALWAYS starts it.
            flags: all that it then has; those that are left out are reset.
            deletion_protection: whether the service refuses to delete it.
            settings: what else `settings` has, in Google's names.
            settings_version: do it only if this is still the version; otherwise do it on any.

        Raises:
            StaleDataError: it is no longer the version.
        """
        changed = settings_of(
            settings,
            tier=tier,
            edition=edition,
            availability=availability,
            activation=activation,
            flags=flags,
            deletion_protection=deletion_protection,
        )

        def send(version: int | None) -> Operation:
            stamped = changed if version is None else {**changed, "settingsVersion": str(version)}
            return self._send("PATCH", name, body={"settings": stamped})

        return self._on_any_version(name, settings_version, settings_version, send)

    def update(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Operation:
        """Replace it by what a function makes of it; what the function leaves out is reset.

        Args:
            name: whose.
            change: is given the instance as Google's JSON, and gives it back changed; called again when somebody
                else was quicker.
        """

        def send(_: int | None) -> Operation:
            # A whole resource is only ever sent back with the version that it was read with.
            present = self._transport.send("GET", "instances", name, about=_about(name))
            version = _version_of(parsed(Instance, present, _about(name)))
            body = change(present)
            body = {**body, "settings": {**body.get("settings", {}), "settingsVersion": str(version)}}
            return self._send("PUT", name, body=body)

        return self._on_any_version(name, None, None, send)

    def delete(self, name: str, *, final_backup: bool, final_backup_days: int | None = None) -> Operation:
        """Delete it. Deletion protection has to be off.

        Args:
            name: whose.
            final_backup: whether a last backup is taken first, and outlives it.
            final_backup_days: how long that is kept, 1 to 365; by default as the instance's settings say.
        """
        query = {"enableFinalBackup": final_backup, "finalBackupTtlDays": final_backup_days if final_backup else None}
        return self._send("DELETE", name, query=query)

    def restart(self, name: str) -> Operation:
        """Restart it; connections are dropped."""
        return self._send("POST", name, "restart")

    def failover(self, name: str, *, settings_version: int | None = None) -> Operation:
        """Give the work to the standby.

        Args:
            name: a REGIONAL instance.
            settings_version: do it only if this is still the version; otherwise do it on any.

        Raises:
            StaleDataError: it is no longer the version.
        """

        def send(version: int | None) -> Operation:
            return self._send("POST", name, "failover", body={"failoverContext": {"settingsVersion": str(version)}})

        version = settings_version if settings_version is not None else _version_of(self.get(name))
        return self._on_any_version(name, settings_version, version, send)

    def promote_replica(self, name: str, *, failover: bool = False) -> Operation:
        """Make a replica an instance of its own.

        Args:
            name: the replica.
            failover: whether it also takes over the write endpoint, where it is the primary's DR replica.
        """
        return self._send("POST", name, "promoteReplica", query={"failover": failover or None})

    def switchover(self, name: str, *, timeout: dt.timedelta | None = None) -> Operation:
        """Exchange a DR replica's part with its primary's; nothing is lost.

        Args:
            name: the replica.
            timeout: of the databases' part, up to a day; by default the service's 10 minutes.
        """
        seconds = None if timeout is None else f"{timeout.total_seconds():g}s"
        return self._send("POST", name, "switchover", query={"dbTimeout": seconds})

    def clone(
        self,
        name: str,
        destination: str,
        *,
        point_in_time: dt.datetime | None = None,
        deletion_time: dt.datetime | None = None,
        zone: str | None = None,
    ) -> Operation:
        """Make another instance of it: as it is now, or as it was at a moment.

        Args:
            name: the source.
            destination: the new instance.
            point_in_time: the moment, within `recovery_window`; by default now.
            deletion_time: when the source was deleted, if it was.
            zone: where the new one should be.
        """
        context: dict[str, str] = {"destinationInstanceName": destination}
        if point_in_time is not None:
            context["pointInTime"] = timestamp("point_in_time", point_in_time)
        if deletion_time is not None:
            context["sourceInstanceDeletionTime"] = timestamp("deletion_time", deletion_time)
        if zone is not None:
            context["preferredZone"] = zone
        return self._send("POST", name, "clone", body={"cloneContext": context})

    def restore_backup(
        self, name: str, *, backup_run: int, source: str | None = None, source_project: str | None = None
    ) -> Operation:
        """Overwrite everything in it by a backup; connections are dropped, replicas have to be deleted before.

        Args:
            name: what is overwritten.
            backup_run: the backup's id.
            source: whose backup it is; by default its own.
            source_project: where the source is; by default the same project.
        """
        context = {
            "backupRunId": str(backup_run),
            "instanceId": source or name,
            "project": source_project or self._transport.project,
        }
        return self._send("POST", name, "restoreBackup", body={"restoreBackupContext": context})

    def recovery_window(self, name: str, *, deletion_time: dt.datetime | None = None) -> RecoveryWindow:
        """Read the moments that it can be brought back to.

        Args:
            name: whose.
            deletion_time: when it was deleted, if it was.
        """
        deleted = None if deletion_time is None else timestamp("deletion_time", deletion_time)
        return self._transport.read(
            RecoveryWindow,
            "GET",
            *("instances", name, "getLatestRecoveryTime"),
            about=_about(name),
            query={"sourceInstanceDeletionTime": deleted},
        )

    def _send(self, method: str, name: str, *verb: str, **call: Any) -> Operation:
        return self._transport.read(Operation, method, "instances", name, *verb, about=_about(name), **call)

    def _on_any_version(
        self, name: str, wanted: int | None, first: int | None, send: Callable[[int | None], Operation]
    ) -> Operation:
        version = first
        for _ in range(STALE_TRIES - 1):
            try:
                return send(version)
            except StaleDataError:
                if wanted is not None:
                    raise
            version = _version_of(self.get(name))
        return send(version)


def _about(name: str) -> str:
    return f"instance {name}"


def _version_of(instance: Instance) -> int:
    version = instance.settings.settings_version
    if version is None:
        raise UnexpectedAnswerError(_about(instance.name), "the answer has no settingsVersion")
    return version
