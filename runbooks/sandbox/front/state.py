"""What all connections of a front go by, and what may change while they are open."""

import asyncio
import enum
from dataclasses import dataclass, field

from runbooks.sandbox.front.logins import Logins

# As PostgreSQL's authentication_timeout. Afterwards the cluster has its own.
HANDSHAKE_SECONDS = 60.0


class SslMode(enum.StrEnum):
    """Who may come in at PostgreSQL's port, by Cloud SQL's names. The connector's port always wants a certificate."""

    ALLOW_UNENCRYPTED_AND_ENCRYPTED = "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    ENCRYPTED_ONLY = "ENCRYPTED_ONLY"
    TRUSTED_CLIENT_CERTIFICATE_REQUIRED = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"

    @property
    def needs_encryption(self) -> bool:
        """Whether it is TLS or nothing."""
        return self is not SslMode.ALLOW_UNENCRYPTED_AND_ENCRYPTED

    @property
    def needs_certificate(self) -> bool:
        """Whether the client has to show a certificate of the instance's CA."""
        return self is SslMode.TRUSTED_CLIENT_CERTIFICATE_REQUIRED


@dataclass
class State:
    """One front's. A change holds for the connections that come then, but for the network's, which holds for all."""

    ssl_mode: SslMode = SslMode.ENCRYPTED_ONLY
    # Nobody comes in at PostgreSQL's port.
    requires_connector: bool = False
    # The instance's IAM users; without it there are none.
    logins: Logins | None = None
    # How long a client may take to say who it is.
    handshake_seconds: float = HANDSHAKE_SECONDS
    # The cluster's port on 127.0.0.1; None while there is no cluster.
    target: int | None = None
    # Seconds that the network adds to the way of each piece of data.
    latency: float = 0.0
    # Set while the network carries anything.
    flow: asyncio.Event = field(default_factory=asyncio.Event)

    async def flowing(self) -> None:
        """Wait until the network carries what waits here."""
        if self.latency:
            await asyncio.sleep(self.latency)
        await self.flow.wait()
