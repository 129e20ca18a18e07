"""What a PostgreSQL server that was killed leaves in the kernel: a small segment, of which there is a fixed number."""

import ctypes
from pathlib import Path

# The line of postmaster.pid that has the segment's key and id.
LINE = 6
IPC_RMID = 0


def forget(pid_file: Path) -> None:
    """Give back the segment of a server that is gone, as a machine does that loses its power. Otherwise it stays.

    Args:
        pid_file: the postmaster's, of a data folder in which no process works.
    """
    try:
        key, ident = map(int, pid_file.read_text().splitlines()[LINE].split())
    except (OSError, ValueError, IndexError):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # Else it is not there any more, and the id is somebody else's.
    if libc.shmget(ctypes.c_int(key), ctypes.c_size_t(0), 0) == ident:
        libc.shmctl(ident, IPC_RMID, None)
