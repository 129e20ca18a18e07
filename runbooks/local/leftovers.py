"""What a killed supervisor left running."""

import os
import signal
from dataclasses import dataclass

import psutil

from runbooks.local import processes
from runbooks.local.folder import StateFolder
from runbooks.local.record import read_record

STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Leftovers:
    """Processes that are the platform's own, each seen to be."""

    postgres: frozenset[psutil.Process]
    others: frozenset[psutil.Process]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.postgres) + len(self.others)


def find_leftovers(folder: StateFolder) -> Leftovers:
    """Find them by mark, by the record and by the data folder, since any one of these may be missing."""
    postgres = frozenset(processes.postgres_of(folder.postgres))
    found = set(processes.marked_with(folder.path))
    record = read_record(folder)
    for program in (record.api, record.cache) if record else ():
        process = program.process.find() if program.process else None
        if process is not None:
            found.add(process)
    return Leftovers(postgres, frozenset(process for process in found - postgres if process.pid != os.getpid()))


def end_leftovers(folder: StateFolder) -> int:
    """End them, PostgreSQL last. Only whoever holds the lock may.

    Returns:
        How many there were.
    """
    found = find_leftovers(folder)
    processes.end(found.others, (signal.SIGTERM, STOP_SECONDS))
    processes.end_postgres_of(folder.postgres)
    folder.record.unlink(missing_ok=True)
    return len(found)
