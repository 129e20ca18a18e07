"""The record of what runs, which outlives its supervisor when that is killed."""

import contextlib

from pydantic import BaseModel

from runbooks.local.files import write_private
from runbooks.local.folder import StateFolder
from runbooks.local.processes import Identity


class Program(BaseModel):
    """One part of the platform. A server that is somebody else's has no process here."""

    url: str
    process: Identity | None = None


class Record(BaseModel):
    """All parts."""

    api: Program
    database: Program
    cache: Program


def read_record(folder: StateFolder) -> Record | None:
    """What runs, or ran when the supervisor was killed; None when nothing does."""
    # An unreadable one tells nothing either; the processes are found by their mark then.
    with contextlib.suppress(OSError, ValueError):
        return Record.model_validate_json(folder.record.read_text())
    return None


def write_record(folder: StateFolder, record: Record) -> None:
    """Keep it; it holds passwords, in the URLs."""
    write_private(folder.record, record.model_dump_json())
