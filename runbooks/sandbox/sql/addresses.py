"""Which address an instance gets."""

import hashlib
import socket
import threading
from pathlib import Path

from runbooks.local.ports import HOST, free_port
from runbooks.sandbox.front.addresses import loopback_addresses_work
from runbooks.sandbox.front.front import CONNECTOR_PORT, PORT

# Per sandbox: 127.x.y.1 to 127.x.y.254.
LAST = 254


class Addresses:
    """A loopback address of its own for each instance, or a port of 127.0.0.1 where that is the only one."""

    def __init__(self, folder: Path) -> None:
        # By the state folder, so that sandboxes beside each other rarely meet.
        digest = hashlib.sha256(str(folder).encode()).digest()
        self._network = f"127.{1 + digest[0] % LAST}.{digest[1]}"
        self._works = loopback_addresses_work()
        self._given = 0
        self._lock = threading.Lock()

    def next(self, taken: set[str]) -> tuple[str, int]:
        """One that no instance has.

        Args:
            taken: those of instances.
        """
        with self._lock:
            for _ in range(LAST if self._works else 0):
                self._given = self._given % LAST + 1
                address = f"{self._network}.{self._given}"
                if address not in taken and is_free(address):
                    return address, PORT
        return HOST, free_port()

    def connector_port(self, address: str) -> int | None:
        """The connector's port, which one address can have once."""
        return None if address == HOST else CONNECTOR_PORT


def is_free(address: str) -> bool:
    """Whether an instance can have it: another program may listen there, or on all addresses."""
    for port in (PORT, CONNECTOR_PORT):
        try:
            socket.create_server((address, port)).close()
        except OSError:
            return False
    return True
