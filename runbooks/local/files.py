"""Files that only their owner may read."""

import os
from pathlib import Path

LOG_LIMIT = 10_000_000


def write_private(path: Path, text: str) -> None:
    """Replace a file's content at once, readable by its owner only; a full disk leaves the old one."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def open_log(path: Path) -> int:
    """Open a log to append to, and set a long one aside first.

    Returns:
        The file descriptor.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".old"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def read_from(path: Path, offset: int) -> list[str]:
    """The lines of a log that say something, from an offset on."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]
