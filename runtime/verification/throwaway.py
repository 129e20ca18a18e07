"""A throwaway instance: made of a backup to be looked at, and deleted. Its source is only read."""

import datetime as dt
import re
import secrets
from collections.abc import Callable

from pydantic import SecretStr

from runtime.cloudsql.client import CloudSqlAdmin
from runtime.cloudsql.errors import CloudSqlError, NotFoundOrForbiddenError, OperationFailedError
from runtime.cloudsql.instance_settings import ip_configuration_of
from runtime.cloudsql.models import BackupRun, Instance, Operation
from runtime.errors import HoldfastError

PURPOSE = "holdfast-throwaway"
ORPHAN_AGE = dt.timedelta(hours=2)
_NAME = re.compile(r"(.+)-throwaway-[0-9a-f]{6}")
# Where the source is reached, so is what is made of it; no client certificates.
_NETWORK = ("ipv4Enabled", "privateNetwork", "allocatedIpRange", "authorizedNetworks", "pscConfig")

Progress = Callable[[str], None]


class RestoreFailedError(HoldfastError):
    """The backup could not be restored: the service began, and ended in error."""


def new_name(instance: str) -> str:
    """A name by which nobody takes it for another."""
    return f"{instance}-throwaway-{secrets.token_hex(3)}"


def is_throwaway(name: str) -> bool:
    """Whether an instance of that name is one that is made to be looked at and deleted."""
    return _NAME.fullmatch(name) is not None


def newest_backup(admin: CloudSqlAdmin, instance: str) -> BackupRun | None:
    """The newest backup that succeeded."""
    found = [one for one in admin.backup_runs.list(instance) if one.status == "SUCCESSFUL" and one.end_time]
    return max(found, key=_ended, default=None)


def restore(admin: CloudSqlAdmin, source: Instance, backup: BackupRun, name: str, progress: Progress) -> Instance:
    """Make an instance like the source, and restore a backup into it. What was begun before is carried on.

    Args:
        admin: of the project that both are in.
        source: whose backup it is.
        backup: one that succeeded.
        name: of the new instance, by `new_name`.
        progress: is told how far it is.

    Raises:
        RestoreFailedError: the service could not restore the backup.
        CloudSqlError: it could not be asked, or the instance could not be made.
    """
    _see_that_it_is_one(name)
    if name not in _names(admin):
        _wait(admin, _insert(admin, source, name), progress)
    _settle(admin, name, progress)
    restoring = admin.instances.restore_backup(name, backup_run=backup.id, source=source.name)
    try:
        _wait(admin, restoring, progress)
    except OperationFailedError as error:
        raise RestoreFailedError(str(error)) from None
    return admin.instances.get(name)


def delete(admin: CloudSqlAdmin, name: str, progress: Progress) -> bool:
    """Delete it, if it is there.

    Returns:
        Whether the project has it no more.

    Raises:
        CloudSqlError: the service did not do it, or does not say.
    """
    _see_that_it_is_one(name)
    if name in _names(admin):
        _settle(admin, name, progress)
        _remove(admin, name, progress)
    return name not in _names(admin)


def sweep(admin: CloudSqlAdmin, instance: str, *, now: dt.datetime, progress: Progress) -> tuple[list[str], list[str]]:
    """Delete the throwaway instances of an instance that were left behind, whatever state they are in.

    Args:
        admin: of its project.
        instance: whose.
        now: those are left behind that are older by then than a verification takes.
        progress: is told how far it is.

    Returns:
        Those that were deleted, and those that are there still.
    """
    found = orphans(admin, instance, now=now)
    for name in found:
        try:
            # One that an operation holds is the next sweep's.
            _remove(admin.within(0), name, progress)
        except CloudSqlError as error:
            progress(str(error))
    left = _names(admin).intersection(found) if found else set()
    return [name for name in found if name not in left], sorted(left)


def orphans(admin: CloudSqlAdmin, instance: str, *, now: dt.datetime) -> list[str]:
    """The throwaway instances of an instance that are older than two hours."""
    return [
        one.name
        for one in admin.instances.list()
        if (matched := _NAME.fullmatch(one.name))
        and matched[1] == instance
        and one.create_time is not None
        and now - one.create_time > ORPHAN_AGE
    ]


def _insert(admin: CloudSqlAdmin, source: Instance, name: str) -> Operation:
    settings = source.settings
    extra = settings.model_extra or {}
    network = {key: value for key, value in ip_configuration_of(settings).items() if key in _NETWORK}
    more = {
        "userLabels": {"purpose": PURPOSE},
        "backupConfiguration": {"enabled": False},
        "ipConfiguration": {**network, "sslMode": "ENCRYPTED_ONLY"},
    }
    if source.requires_connector:
        # It has the source's data, and is as closed.
        more["connectorEnforcement"] = "REQUIRED"
    if settings.data_disk_size_gb is not None:
        more["dataDiskSizeGb"] = str(settings.data_disk_size_gb)
    if "dataDiskType" in extra:
        more["dataDiskType"] = extra["dataDiskType"]
    return admin.instances.insert(
        name,
        database_version=source.database_version,
        region=source.region,
        tier=settings.tier,
        edition="ENTERPRISE_PLUS" if settings.edition == "ENTERPRISE_PLUS" else "ENTERPRISE",
        availability="ZONAL",
        flags={flag.name: flag.value for flag in settings.database_flags},
        deletion_protection=False,
        settings=more,
        # Until the backup's own users are there.
        root_password=SecretStr(secrets.token_urlsafe(24)),
        encryption_key=source.encryption_key,
    )


def _remove(admin: CloudSqlAdmin, name: str, progress: Progress) -> None:
    try:
        _wait(admin, admin.instances.delete(name, final_backup=False), progress)
    except NotFoundOrForbiddenError:
        # Somebody else was quicker, or it may not be deleted: the list says which.
        progress(f"{name} is not there, or may not be seen")


def _settle(admin: CloudSqlAdmin, name: str, progress: Progress) -> None:
    """Wait for what is under way, be it from a run that was cut off; how it ends is not asked."""
    for operation in admin.operations.list(name):
        if not operation.is_done:
            try:
                _wait(admin, operation, progress)
            except OperationFailedError as error:
                progress(str(error))


def _wait(admin: CloudSqlAdmin, operation: Operation, progress: Progress) -> None:
    def tell(seen: Operation) -> None:
        progress(f"{seen.operation_type} of {seen.target_id}: {seen.status}")

    admin.wait(operation, progress=tell)


def _names(admin: CloudSqlAdmin) -> set[str]:
    # Asked for by its name, one that is missing and one that may not be seen are the same.
    return {one.name for one in admin.instances.list()}


def _see_that_it_is_one(name: str) -> None:
    if not is_throwaway(name):
        message = f"{name} is no throwaway instance's name"
        raise ValueError(message)


def _ended(backup: BackupRun) -> dt.datetime:
    assert backup.end_time is not None  # noqa: S101  # chosen by it
    return backup.end_time
