"""Which instance serves: Pulumi ends its name with a suffix, and a recovery may have made another one."""

from collections.abc import Iterable

from runbooks.connect.errors import ConnectError
from runtime.cloudsql.client import CloudSqlAdmin
from runtime.cloudsql.models import Instance
from runtime.verification.throwaway import is_throwaway


def primary(admin: CloudSqlAdmin, prefix: str, name: str | None) -> Instance:
    """The instance that serves.

    Args:
        admin: of the project.
        prefix: what its name begins with.
        name: of the instance, where somebody says which.

    Raises:
        ConnectError: it cannot be told.
        CloudSqlError: the Admin API does not say.
    """
    return admin.instances.get(name) if name else chosen(admin.instances.list(), prefix)


def chosen(instances: Iterable[Instance], prefix: str) -> Instance:
    """The one primary of that name among instances.

    Raises:
        ConnectError: there is none, or there are several.
    """
    found = [
        one
        for one in instances
        if f"{one.name}-".startswith(f"{prefix}-") and one.master_instance_name is None and not is_throwaway(one.name)
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(one.name for one in found))
    message = (
        f"{names} are all primaries; say which one serves: holdfast connect STACK --instance NAME"
        if found
        else f"there is no primary named {prefix}-…; name one: holdfast connect STACK --instance NAME"
    )
    raise ConnectError(message)
