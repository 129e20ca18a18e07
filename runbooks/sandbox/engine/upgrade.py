"""A cluster of one major version made into one of a newer, by pg_upgrade."""

import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.engine.programs import run

if TYPE_CHECKING:
    from runbooks.sandbox.engine.cluster import Cluster

# What pg_upgrade prints of a check that failed: such a line, and then the reasons.
FAILED = re.compile(r" (fatal|failed check: .*)$", flags=re.MULTILINE)
LISTED = re.compile(r"A list of .*:\n +(/.+\.txt)$", flags=re.MULTILINE)
END = "Failure, exiting"
# Of what it printed otherwise, in characters.
LAST = 500


class NotUpgradableError(EngineError):
    """The newer version cannot take what is in the cluster; the message is pg_upgrade's own."""


def check(old: "Cluster", new: "Cluster") -> None:
    """See that a cluster can be upgraded.

    Args:
        old: stopped; it is only read.
        new: of the newer version, with the password of the old one. It is made, and is as good as new afterwards.

    Raises:
        NotUpgradableError: it cannot be upgraded.
        EngineError: the new one cannot be made.
    """
    _run(old, new, "--check", until="Clusters are compatible")


def upgrade(old: "Cluster", new: "Cluster") -> None:
    """Make a cluster of a newer version that has what a stopped one has. It is not started.

    Args:
        old: stopped; it is only read.
        new: of the newer version, with the password of the old one.

    Raises:
        NotUpgradableError: the newer version cannot take what is in the old cluster; remove the new one.
        EngineError: the new one cannot be made.
    """
    _run(old, new, "--link", until="Upgrade Complete")


def _run(old: "Cluster", new: "Cluster", how: str, *, until: str) -> None:
    if not new.exists:
        new.create()
    # pg_upgrade starts it, with settings of its own and without archiving: what follows it would not get over that.
    former = new.folder / "former"
    shutil.copytree(old.data, former, symlinks=True)
    try:
        hurry = () if new.waits_for_disk else ("--no-sync",)
        said = run(
            new.programs / "pg_upgrade",
            *("--old-bindir", str(old.programs), "--new-bindir", str(new.programs)),
            *("--old-datadir", str(former), "--new-datadir", str(new.data)),
            *("--username", old.superuser, how, *hurry),
            # In no folder: the path of a socket is short, and ours may be long.
            *("--socketdir", f"@holdfast-{secrets.token_hex(8)}"),
            environment=old.environment,
            folder=new.folder,
            as_ordinary_user=True,
            may_fail=True,
        )
        if until not in said:
            raise NotUpgradableError(_reason(said))
    finally:
        shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(new.data / "pg_upgrade_output.d", ignore_errors=True)


def _reason(said: str) -> str:
    found = FAILED.search(said)
    text = said[found.end() :] if found else said[-LAST:]
    # The file that says which tables or columns goes with the cluster.
    text = LISTED.sub(lambda listed: Path(listed[1]).read_text(), text.replace(END, ""))
    return "pg_upgrade: " + (" ".join(text.split()) or "it failed without a word")
