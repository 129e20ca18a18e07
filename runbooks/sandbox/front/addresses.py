"""Addresses of this machine that an instance can have for itself."""

import socket

PROBE = "127.77.0.1"


def loopback_addresses_work() -> bool:
    """Whether servers can listen on all of 127.x.y.z, as on Linux, or on 127.0.0.1 only."""
    with socket.socket() as probe:
        try:
            probe.bind((PROBE, 0))
        except OSError:
            return False
    return True
