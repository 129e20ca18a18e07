"""The way to the instance: the proxy or the tunnel on this machine, or the instance's own address, and their ports.

At its address an instance has two: PostgreSQL's, and that of Google's connectors.
"""

import asyncio
import shlex
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from runbooks.connect import socks
from runbooks.engine.errors import RunbookError
from runbooks.engine.findings import Finding
from runbooks.engine.target import Connector, Proxy
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runtime.db.engine import CONNECTOR_PORT
from runtime.errors import first_line

# Of the second version and of the first.
PROXIES = ("cloud-sql-proxy", "cloud_sql_proxy")
PORT_OPEN = "The port answers"
PROXY_RUNS = "A proxy runs"
TUNNEL_OPEN = "The tunnel is open"


def proxy(probe: Probe) -> Iterator[Finding]:
    """Where the target is reached through a proxy: it runs, and listens where the target says."""
    connection = probe.target.connection
    if not isinstance(connection, Proxy):
        return
    place = f"{connection.host}:{connection.port}"
    start = shlex.join(
        ("cloud-sql-proxy", f"--address={connection.host}", f"--port={connection.port}", probe.connection_name)
    )
    running = [one for one in _proxies() if one.is_of(probe.connection_name)]
    names = ", ".join(str(one) for one in running)
    trouble = _trouble(connection.host, connection.port)
    if trouble and not running:
        yield fault(PROXY_RUNS, f"none for {probe.connection_name}, and {place} {trouble}", start)
        return
    yield ok(PROXY_RUNS, names or f"no process of that name is seen here, but {place} is open")
    if trouble:
        stop = shlex.join(("kill", *(str(one.pid) for one in running)))
        yield fault(PORT_OPEN, f"{place} {trouble}, though a proxy runs: {names}", f"{stop}; {start}")
    else:
        yield ok(PORT_OPEN, place)


def tunnel(probe: Probe) -> Iterator[Finding]:
    """Where instances are reached through a tunnel: somebody has opened it."""
    connection = probe.target.connection
    if not isinstance(connection, Connector) or connection.through is None:
        return
    there = urlsplit(connection.through)
    trouble = _trouble(there.hostname or "", there.port or 0)
    if trouble:
        start = shlex.join(("holdfast", "connect", probe.stack))
        yield fault(TUNNEL_OPEN, f"{there.netloc} {trouble}", start)
    else:
        yield ok(TUNNEL_OPEN, there.netloc)


def address(probe: Probe) -> Iterator[Finding]:
    """Where the target is reached at the instance's own address: its port takes connections."""
    connection = probe.target.connection
    if isinstance(connection, Proxy):
        return
    if isinstance(connection, Connector) and connection.ip_type == "psc":
        # The name servers' answer for this network is the way, which the connector asks for.
        return
    if probe.instance is None:
        yield unknown(PORT_OPEN, "not tested: the instance's address is not known")
        return
    try:
        host, port = probe.tools.address(probe.instance)
    except RunbookError as error:
        show = probe.gcloud("sql", "instances", "describe", probe.target.instance)
        yield fault(PORT_OPEN, str(error), show)
        return
    if probe.tools.is_by_connector(probe.instance):
        port = CONNECTOR_PORT
    if isinstance(connection, Connector) and connection.through is not None:
        yield _behind(probe, connection.through, host)
        return
    trouble = _trouble(host, port)
    if trouble:
        through = shlex.join(("cloud-sql-proxy", "--private-ip", "--port=5432", probe.connection_name))
        what = "run this on a machine in the instance's network, or there a proxy, and name it in the target"
        yield fault(PORT_OPEN, f"{host}:{port} {trouble}", f"{what}: {through}")
    else:
        yield ok(PORT_OPEN, f"{host}:{port}")


def _behind(probe: Probe, through: str, host: str) -> Finding:
    """Whether an instance answers through the tunnel: ssh says that it connects before it does."""
    place = f"{host}:{CONNECTOR_PORT}"
    try:
        with asyncio.run(asyncio.wait_for(socks.opener(through, probe.stack)(host, CONNECTOR_PORT), SECONDS)) as plain:
            plain.settimeout(SECONDS)
            # Whose certificate it is, the connector will look at.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.wrap_socket(plain).close()
    except OSError as error:
        why = f"does not answer within {SECONDS:g} s" if isinstance(error, TimeoutError) else first_line(error)
        rules = probe.gcloud("compute", "firewall-rules", "list")
        return fault(PORT_OPEN, f"{place}, through the tunnel: {why}", f"see what the bastion may reach: {rules}")
    return ok(PORT_OPEN, f"{place}, through the tunnel")


def _trouble(host: str, port: int) -> str:
    """Why nothing listens there; empty when something does."""
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except TimeoutError:
        return f"does not answer within {SECONDS:g} s"
    except OSError as error:
        return f"is closed ({error.strerror or error})"
    return ""


@dataclass(frozen=True)
class _Process:
    pid: int
    words: tuple[str, ...]

    def is_of(self, connection_name: str) -> bool:
        # The name may be followed by parameters of its own, such as ?port=5433.
        return any(word.partition("?")[0] == connection_name for word in self.words)

    def __str__(self) -> str:
        return f"process {self.pid}"


def _proxies() -> list[_Process]:
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or ()
        if process.info["name"] in PROXIES or (words and words[0].rpartition("/")[2] in PROXIES):
            found.append(_Process(process.pid, tuple(words)))
    return found
