"""Where people's programs come in, once the tunnel is open: a port of this machine that leads to the database."""

from contextlib import ExitStack
from dataclasses import dataclass

from runbooks.connect import socks
from runbooks.connect.primary import primary
from runbooks.connect.way import Way
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for

# Whoever waits for it sits before a terminal.
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Door:
    """What somebody asked for.

    Args:
        stack: its name.
        port: of this machine.
        through: the tunnel, as a SOCKS proxy's URL.
        instance: which one, where somebody says it.
        admin_api: where the Admin API is; None for Google's.
    """

    stack: str
    port: int
    through: str
    instance: str | None
    admin_api: str | None


def open_door(way: Way, door: Door, ends: ExitStack) -> str:
    """Listen for PostgreSQL's clients, until the stack of ends is closed.

    Returns:
        The connection name of the instance that they come to.

    Raises:
        ConnectError: it cannot be told which one serves.
        CloudSqlError: the Admin API does not say.
        ConfigurationError: the port is taken.
    """
    # Who only asks for the command needs none of it, and it takes a while to load.
    from runtime.db.gateway import Gateway  # noqa: PLC0415

    credentials = credentials_for(door.admin_api)
    with CloudSqlAdmin(
        way.project, credentials=credentials, endpoint=door.admin_api, patience=PATIENCE_SECONDS
    ) as admin:
        name = primary(admin, way.primary, door.instance or way.instance).connection_name
    gateway = Gateway(
        name,
        endpoint=door.admin_api,
        ip_type=way.ip_type,
        opener=socks.opener(door.through, door.stack),
        port=door.port,
    )
    gateway.place()
    ends.callback(gateway.close)
    return name
