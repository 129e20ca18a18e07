"""TLS on the instance's own address: the server offers it, and its certificate is the one that the Admin API names."""

import socket
import ssl
import struct
from collections.abc import Iterator

from runbooks.engine.errors import RunbookError
from runbooks.engine.findings import Finding
from runbooks.engine.target import Proxy
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runbooks.procedures.connection.way import PORT_OPEN
from runtime.errors import first_line

ACCEPTED = "TLS is accepted"
# PostgreSQL's: a message's length, and a number that stands for the question.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
YES = b"S"


def tls(probe: Probe) -> Iterator[Finding]:
    """A handshake, before anybody logs in."""
    if isinstance(probe.target.connection, Proxy):
        # It does TLS by itself, on its other side.
        return
    if probe.instance is None:
        yield unknown(ACCEPTED, "not tested: the instance's address is not known")
        return
    if probe.tools.is_by_connector(probe.instance):
        # So does the connector, with a certificate of its own for this client: who logs in hears of it.
        return
    name = probe.target.instance
    try:
        place = probe.tools.place(probe.instance)
        with socket.create_connection((place["host"], place["port"]), timeout=SECONDS) as plain:
            plain.settimeout(SECONDS)
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != YES:
                show = probe.gcloud("sql", "instances", "patch", name, "--ssl-mode=ENCRYPTED_ONLY")
                yield fault(ACCEPTED, "the server offers none", show)
                return
            with context_of(place["sslrootcert"]).wrap_socket(plain) as encrypted:
                version = encrypted.version()
    except ssl.SSLCertVerificationError as error:
        renew = probe.gcloud("sql", "ssl", "server-ca-certs", "list", f"--instance={name}")
        what = "the address is another server's, or its authority was rotated; compare"
        yield fault(ACCEPTED, f"the server's certificate is not believed: {error.verify_message}", f"{what}: {renew}")
    except ssl.SSLError as error:
        yield fault(ACCEPTED, first_line(error), "see what is between here and the instance: a firewall may end TLS")
    except (OSError, RunbookError) as error:
        # Whoever accepts a connection and says nothing is no server.
        why = f"{place['host']}:{place['port']} takes connections and does not answer: {first_line(error)}"
        restart = probe.gcloud("sql", "operations", "list", f"--instance={name}")
        yield fault(PORT_OPEN, why, f"see the network's firewall and the instance's operations: {restart}")
    else:
        yield ok(ACCEPTED, f"{version}, and the certificate is the instance's")


def context_of(authority: str) -> ssl.SSLContext:
    """Believes this authority and no other; not what name the certificate has, as libpq's verify-ca."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    return context
