"""The operator's way in: SSH by IAP to the bastion, which as a SOCKS proxy leads to every instance's address."""

from typing import Literal

from infra.environment import Environment

# Where `holdfast connect` opens the way on the operator's machine: one for people's programs, and one for procedures.
HOST = "127.0.0.1"
LOCAL_PORT = 5433
SOCKS_PORT = 5434
SSH_PORT = 22


def machine(env: Environment) -> str:
    """The bastion's name."""
    return env.name("bastion")


def zone(env: Environment) -> str:
    """Where the bastion is."""
    return f"{env.config.region}-{env.config.access.bastion_zone}"


def through(port: int = SOCKS_PORT) -> str:
    """The SOCKS proxy, as the target's connection names it."""
    return f"socks5://{HOST}:{port}"


def ip_type(env: Environment) -> Literal["private", "psc"]:
    """Which of an instance's addresses connectors take."""
    return "psc" if env.config.database.by_endpoints else "private"
