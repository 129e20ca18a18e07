"""What a step may touch. Reading is free; each call that changes something is declared, or is not made."""

import re
from collections.abc import Collection

from runbooks.engine.errors import UndeclaredCallError
from runbooks.sandbox.sql.methods import find
from runtime.verification.throwaway import is_throwaway

READS = ("GET", "HEAD")
# What destroys, unless it is done to an instance that a procedure makes to look at, and deletes.
OF_THROWAWAYS = {
    "instances.delete": "throwaway.delete",
    "instances.promoteReplica": "throwaway.promote",
    "instances.restoreBackup": "throwaway.restoreBackup",
}
# Empty ones that a procedure makes for a backup: there is nothing in them that a restore would overwrite.
FRESH = re.compile(r"-restored-[0-9a-f]{6}(-[2-9])?$")

ADMIN_API = frozenset(
    {
        "backupRuns.delete",
        "backupRuns.insert",
        "databases.delete",
        "databases.insert",
        "instances.clone",
        "instances.delete",
        "instances.failover",
        "instances.insert",
        "instances.patch",
        "instances.promoteReplica",
        "instances.restart",
        "instances.restoreBackup",
        "instances.switchover",
        "operations.cancel",
        "users.delete",
        "users.insert",
        "users.update",
    }
)
# Of the other services, and of the database itself: rows, and definitions.
OTHERS = frozenset(
    {
        "database.write",
        "database.define",
        "database.drop",
        # Applications are sent to another instance.
        "cutover",
        "fresh.restoreBackup",
        "run.services.patch",
        "secretmanager.versions.add",
        "secretmanager.versions.destroy",
        "secretmanager.versions.disable",
        "throwaway.delete",
        "throwaway.promote",
        "throwaway.restoreBackup",
    }
)
KNOWN = ADMIN_API | OTHERS
# What takes something away that nothing gives back, or drops connections of those who work.
DESTRUCTIVE = frozenset(
    {
        "backupRuns.delete",
        "cutover",
        "database.drop",
        "databases.delete",
        "instances.delete",
        "instances.failover",
        "instances.promoteReplica",
        "instances.restart",
        "instances.restoreBackup",
        "instances.switchover",
        "secretmanager.versions.destroy",
        "users.delete",
    }
)


class Permissions:
    """What is allowed at this moment. Nothing, until a step begins."""

    def __init__(self) -> None:
        self._who = "no step"
        self._allowed: frozenset[str] = frozenset()

    def allow(self, who: str, changes: Collection[str]) -> None:
        """Let a step do what it declares, and nothing else from now on."""
        self._who, self._allowed = who, frozenset(changes)

    def allow_nothing(self) -> None:
        """Reading only."""
        self.allow("no step", ())

    def allows(self, change: str) -> bool:
        """Whether a change may be made now."""
        return change in self._allowed

    def require(self, change: str) -> None:
        """See that a change may be made now.

        Raises:
            UndeclaredCallError: it may not.
        """
        if not self.allows(change):
            message = f"{self._who} does not declare {change}, so it was not done"
            raise UndeclaredCallError(message)

    def of_admin_api(self, verb: str, path: str) -> None:
        """See that a call of the Admin API may be made now.

        Args:
            verb: HTTP's method.
            path: with its version, as `/v1/projects/p/instances`.

        Raises:
            UndeclaredCallError: it may not, or nobody knows what it is.
        """
        if verb in READS:
            return
        found = find(verb, path)
        name = found[0].name if found else f"{verb} {path}"
        if found and name in OF_THROWAWAYS and is_throwaway(found[2]["instance"]):
            name = OF_THROWAWAYS[name]
        if found and name == "instances.restoreBackup" and FRESH.search(found[2]["instance"]):
            name = "fresh.restoreBackup"
        self.require(name)
