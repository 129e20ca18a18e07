"""What a cluster's server is told: defaults, flags over them, and over those what only the engine sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbooks.local.files import write_private
from runbooks.local.ports import HOST
from runbooks.sandbox.engine import extensions
from runbooks.sandbox.engine.archive import archive_command
from runbooks.sandbox.engine.errors import EngineError, InvalidFlagsError
from runbooks.sandbox.engine.programs import run
from runbooks.sandbox.engine.server import ClusterServer

ARCHIVE_SECONDS = 10

# What may be changed by a flag.
DEFAULTS = {
    "max_connections": "100",
    "shared_buffers": "16MB",
    "wal_level": "replica",
    "max_wal_size": "64MB",
    "min_wal_size": "16MB",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# What the engine keeps in postgresql.auto.conf.
KEPT_BY_ENGINE = {
    "primary_conninfo",
    "primary_slot_name",
    "restore_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "synchronous_standby_names",
}
# A standby must have at least what its primary has.
SHARED_WITH_STANDBYS = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


@dataclass
class Configuration:
    """The settings of a cluster's server, by PostgreSQL's names.

    Args:
        server: whose they are.
        archive: the WAL archive.
        shares_archive: whether that is another cluster's too.
        flags: what was asked for; only by `take`.
    """

    server: ClusterServer
    archive: Path
    shares_archive: bool
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def waits_for_disk(self) -> bool:
        """Whether what the server writes must survive a machine that fails: the flag `fsync`."""
        return self.flags.get("fsync", "on") == "on"

    def take(self, flags: Mapping[str, str]) -> None:
        """Replace the flags.

        Raises:
            InvalidFlagsError: one of them only the engine sets; the former ones stay.
        """
        owned = sorted(set(flags) & (set(self._owned()) | KEPT_BY_ENGINE))
        if owned:
            message = f"only the sandbox itself sets {', '.join(owned)}"
            raise InvalidFlagsError(message)
        self.flags = dict(flags)

    def settings(self) -> dict[str, str]:
        """The settings for the server's command line."""
        extensions.prepare(self.server.programs, self._extensions)
        own = self._chosen()
        return {**own, **self._needed_as_standby(own)}

    def check(self) -> None:
        """See that the server takes the settings.

        Raises:
            InvalidFlagsError: it does not; the message is its own.
        """
        options = [
            part
            for name, value in {**self._chosen(), "log_line_prefix": ""}.items()
            for part in ("-c", f"{name}={value}")
        ]
        # It reads the whole configuration, prints one setting of it and ends.
        arguments = ("-D", str(self.server.data), *options, "-C", "data_directory")
        try:
            run(self.server.programs / "postgres", *arguments, as_ordinary_user=True)
        except EngineError as error:
            raise InvalidFlagsError(str(error)) from None

    def keep(self, settings: Mapping[str, str]) -> None:
        """Replace what is in the stopped cluster's postgresql.auto.conf."""
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in settings.items()]
        write_private(self.server.data / "postgresql.auto.conf", "".join(lines))

    @property
    def _extensions(self) -> Path:
        return self.server.data.with_name("extensions")

    def _chosen(self) -> dict[str, str]:
        return {**DEFAULTS, **self.flags, **self._owned()}

    def _owned(self) -> dict[str, str]:
        return {
            "port": str(self.server.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "data_directory": str(self.server.data),
            "hba_file": str(self.server.data / "pg_hba.conf"),
            "ident_file": str(self.server.data / "pg_ident.conf"),
            "logging_collector": "off",
            "hot_standby": "on",
            # A standby that shares its primary's archive writes there too: the primary may die before it did.
            "archive_mode": "always" if self.shares_archive else "on",
            "archive_command": archive_command(self.archive, wait_for_disk=self.waits_for_disk),
            "archive_timeout": str(ARCHIVE_SECONDS),
            # In the data folder: a killed server leaves none of it elsewhere.
            "dynamic_shared_memory_type": "mmap",
            "wal_retrieve_retry_interval": "100ms",
            "max_slot_wal_keep_size": "1GB",
            **extensions.settings(self.server.programs, self.server.version, self._extensions),
        }

    def _needed_as_standby(self, own: Mapping[str, str]) -> dict[str, str]:
        if not (self.server.data / "standby.signal").exists():
            return {}
        control_data = run(self.server.programs / "pg_controldata", "-D", str(self.server.data))
        said = dict(re.findall(r"^(\w+) setting: +(\d+)$", control_data, flags=re.MULTILINE))
        needed = {name: said[label] for label, name in SHARED_WITH_STANDBYS.items() if label in said}
        return {name: value for name, value in needed.items() if int(value) > int(own.get(name, "0"))}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
