"""Ports on this machine."""

import json
import secrets
import socket
from pathlib import Path

import psutil

from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import write_private

HOST = "127.0.0.1"
# Below the range that the kernel takes for outgoing connections, so that a remembered port stays free.
FIRST, LAST = 20_000, 32_000


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        # As servers do: a connection of the last run that is still closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """One that is free now."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if is_free(port):
            return port


def remembered(path: Path, name: str) -> int:
    """The port that a program had last time, or another, and remembered, if that is taken."""
    try:
        known: dict[str, int] = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    port = known.get(name)
    if port is None or not is_free(port):
        port = free_port()
        write_private(path, json.dumps({**known, name: port}))
    return port


def refuse_taken(port: int) -> None:
    """See that the API will have its port.

    Raises:
        LocalPlatformError: another program listens there.
    """
    if not is_free(port):
        message = f"port {port} is in use{_by(port)}; free it or choose another: holdfast up --port N"
        raise LocalPlatformError(message)


def _by(port: int) -> str:
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        # Some systems tell only root whose a port is.
        pass
    return ""
