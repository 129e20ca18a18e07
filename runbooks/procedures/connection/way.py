"""The way to the instance: the proxy on this machine, or the instance's own address, and the port of either.

At its address an instance has two: PostgreSQL's, and that of Google's connectors.
"""

import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from runbooks.engine.errors import RunbookError
from runbooks.engine.findings import Finding
from runbooks.engine.target import Connector, Proxy
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runtime.db.engine import CONNECTOR_PORT

# Of the second version and of the first.
PROXIES = ("cloud-sql-proxy", "cloud_sql_proxy")
PORT_OPEN = "The port answers"
PROXY_RUNS = "A proxy runs"


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
    trouble = _trouble(host, port)
    if trouble:
        through = shlex.join(("cloud-sql-proxy", "--private-ip", "--port=5432", probe.connection_name))
        what = "run this on a machine in the instance's network, or there a proxy, and name it in the target"
        yield fault(PORT_OPEN, f"{host}:{port} {trouble}", f"{what}: {through}")
    else:
        yield ok(PORT_OPEN, f"{host}:{port}")


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
