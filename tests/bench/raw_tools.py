"""Recovery to a moment by PostgreSQL's own tools, as an experienced person's script does it."""

import datetime as dt
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runbooks.local.binaries import ordinary_user
from runbooks.local.ports import HOST, free_port
from tests.bench.cloud import Address

POLL_SECONDS = 0.01


@dataclass(frozen=True)
class RawTools:
    """What the script works with.

    Attributes:
        programs: PostgreSQL's.
        base: the base backup.
        archive: the log since then.
        settings: of the server that was backed up, those on which the work depends: durability above all.
        password: of its user `postgres`.
    """

    programs: Path
    base: Path
    archive: Path
    settings: Mapping[str, str]
    password: str

    def recover(self, into: Path, target: dt.datetime) -> Address:
        """Copy the backup, let the server replay the log to the moment, and wait until it takes writes."""
        address = Address(HOST, free_port(), self.password)
        subprocess.run(["cp", "-a", str(self.base), str(into)], check=True)
        (into / "recovery.signal").touch(mode=0o600)
        settings = {
            **self.settings,
            "listen_addresses": HOST,
            "port": str(address.port),
            "unix_socket_directories": "",
            "restore_command": f'cp "{self.archive}/%f" "%p"',
            "recovery_target_time": target.isoformat(sep=" "),
            "recovery_target_action": "promote",
        }
        with (into / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._pg_ctl(into, "start", "--wait", f"--log={into.with_suffix('.log')}")
        while address.ask("SELECT pg_is_in_recovery()") == [(True,)]:
            time.sleep(POLL_SECONDS)
        return address

    def remove(self, folder: Path) -> None:
        """Stop the server and delete its data."""
        self._pg_ctl(folder, "stop", "--mode=immediate")
        shutil.rmtree(folder)

    def _pg_ctl(self, folder: Path, *arguments: str) -> None:
        program = str(self.programs / "pg_ctl")
        subprocess.run([*ordinary_user(), program, f"--pgdata={folder}", "--silent", *arguments], check=True)
