"""The address of an instance, met by both drivers, with a real PostgreSQL behind it."""

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import io
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import psycopg2
import pytest
from sqlalchemy import text

from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runbooks.sandbox.front.addresses import loopback_addresses_work
from runbooks.sandbox.front.logins import derived_password
from runbooks.sandbox.front.state import SslMode
from tests.conftest import PASSWORD, autocommit, new_server
from tests.runbooks.sandbox.front.fronts import CONNECTOR_PORT, PORT, ClientFiles, Instance, client_files
from tests.running import run
from tests.waiting import wait_until

MakeInstance = Callable[..., Instance]
OPEN, ENCRYPTED, MUTUAL = SslMode
# Rows of 1,000 bytes.
ROWS = 150_000
BIG = f"SELECT repeat('x', 999) FROM generate_series(1, {ROWS})"
ROOM = 60_000_000


def psycopg2_at(instance: Instance, *, files: ClientFiles | None = None, **options: object) -> Any:
    """A connection as the superuser, verified by the instance's CA."""
    certificate = {"sslcert": str(files.certificate), "sslkey": str(files.key)} if files else {}
    keywords: dict[str, Any] = {
        "host": instance.front.address,
        "port": PORT,
        "user": "postgres",
        "password": PASSWORD,
        "dbname": "postgres",
        "sslmode": "verify-full",
        "sslrootcert": str(instance.ca),
        "connect_timeout": 20,
        **certificate,
        **options,
    }
    connection = psycopg2.connect(**keywords)
    connection.autocommit = True
    return connection


def tls_for(instance: Instance, files: ClientFiles | None = None) -> ssl.SSLContext:
    """A client's TLS, which believes the instance's CA and no other."""
    context = ssl.create_default_context(cafile=str(instance.ca))
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


async def asyncpg_at(instance: Instance, **options: object) -> asyncpg.Connection:
    """A connection as the superuser, verified by the instance's CA."""
    keywords: dict[str, Any] = {
        "host": instance.front.address,
        "port": PORT,
        "user": "postgres",
        "password": PASSWORD,
        "database": "postgres",
        "ssl": tls_for(instance),
        "timeout": 20,
        **options,
    }
    before = instance.front.connections
    try:
        return await asyncpg.connect(**keywords)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        # It says so before it has hung up, and the test's loop must not end earlier.
        await asyncio.to_thread(wait_until, lambda: instance.front.connections <= before)
        raise


def by_the_connectors_port(instance: Instance, files: ClientFiles | None) -> dict[str, Any]:
    """What the connector gives to asyncpg."""
    return {"port": CONNECTOR_PORT, "ssl": tls_for(instance, files), "direct_tls": True}


def answer(connection: Any, query: str) -> Any:
    """The one value that psycopg2 gets."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Where an instance may move to."""
    other = new_server(tmp_path_factory.mktemp("second"), max_connections="20")
    other.start()
    other.wait_ready()
    yield other
    other.stop()


# --- Who may come in -------------------------------------------------------------------------------------------------

NO_ENCRYPTION = "no pg_hba.conf entry for host .*, no encryption"
NO_CERTIFICATE = "connection requires a valid client certificate"


@pytest.mark.parametrize(
    ("mode", "sslmode", "has_certificate", "refusal"),
    [
        (OPEN, "disable", False, None),
        (OPEN, "require", False, None),
        (OPEN, "verify-full", False, None),
        (ENCRYPTED, "disable", False, NO_ENCRYPTION),
        (ENCRYPTED, "allow", False, None),
        (ENCRYPTED, "prefer", False, None),
        (ENCRYPTED, "require", False, None),
        (ENCRYPTED, "verify-ca", False, None),
        (ENCRYPTED, "verify-full", True, None),
        (MUTUAL, "disable", False, NO_ENCRYPTION),
        (MUTUAL, "require", False, NO_CERTIFICATE),
        (MUTUAL, "verify-full", False, NO_CERTIFICATE),
        (MUTUAL, "verify-full", True, None),
    ],
)
async def test_each_ssl_mode_lets_in_whom_cloud_sql_lets_in(  # noqa: PLR0917  # fixtures and parameters
    mode: SslMode,
    sslmode: str,
    has_certificate: bool,  # noqa: FBT001  # a parameter of the test
    refusal: str | None,
    server: PostgresServer,
    make_instance: MakeInstance,
    tmp_path: Path,
) -> None:
    instance = make_instance(server.port, ssl_mode=mode)
    files = client_files(tmp_path, instance.certificates) if has_certificate else None
    tls = False if sslmode == "disable" else tls_for(instance, files)
    if refusal is None:
        connection = psycopg2_at(instance, files=files, sslmode=sslmode)
        assert answer(connection, "SELECT 1") == 1
        # libpq's `allow` tries without TLS first.
        assert connection.info.ssl_in_use == (sslmode != "disable")
        connection.close()
        other = await asyncpg_at(instance, ssl=tls)
        assert await other.fetchval("SELECT 1") == 1
        await other.close()
        return
    with pytest.raises(psycopg2.OperationalError, match=refusal):
        psycopg2_at(instance, files=files, sslmode=sslmode)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=refusal):
        await asyncpg_at(instance, ssl=tls)


def test_a_new_ssl_mode_holds_for_those_who_come_then(server: PostgresServer, make_instance: MakeInstance) -> None:
    instance = make_instance(server.port, ssl_mode=OPEN)
    early = psycopg2_at(instance, sslmode="disable")
    instance.front.ask_for(ENCRYPTED)
    with pytest.raises(psycopg2.OperationalError, match=NO_ENCRYPTION):
        psycopg2_at(instance, sslmode="disable")
    assert answer(early, "SELECT 1") == 1
    early.close()


def test_another_instances_certificates_are_not_believed(
    server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    one, other = make_instance(server.port), make_instance(server.port)
    for sslmode in ("verify-ca", "verify-full"):
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            psycopg2_at(one, sslmode=sslmode, sslrootcert=str(other.ca))
    address = one.front.address
    with (
        socket.create_connection((address, CONNECTOR_PORT), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        tls_for(other, client_files(tmp_path, one.certificates)).wrap_socket(plain, server_hostname=address)
    # Nor are they the other way round, even where none is needed.
    with pytest.raises(psycopg2.OperationalError):
        psycopg2_at(one, files=client_files(tmp_path, other.certificates))


async def test_the_server_answers_for_its_address_and_its_name_only(
    server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port)
    by_name = psycopg2_at(instance, host="0a1b2c3d4e5f.1n5t.us-central1.sql.goog", hostaddr=instance.front.address)
    assert answer(by_name, "SELECT 1") == 1
    by_name.close()
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        psycopg2_at(instance, host="elsewhere.sql.goog", hostaddr=instance.front.address)


async def test_the_connectors_port_wants_a_certificate_of_the_instance(
    server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    # Whatever the rule at the other port is.
    instance = make_instance(server.port, ssl_mode=MUTUAL)
    good = client_files(tmp_path, instance.certificates)
    connection = await asyncpg_at(instance, **by_the_connectors_port(instance, good))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    strange = client_files(tmp_path, make_instance().certificates)
    late = client_files(tmp_path, instance.certificates, lifetime=dt.timedelta(seconds=-1))
    servers = instance.ca.parent / "server.pem"
    for files in (None, strange, late, ClientFiles(servers, servers)):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncpg.ConnectionDoesNotExistError)):
            await asyncpg_at(instance, **by_the_connectors_port(instance, files))
    with pytest.raises(psycopg2.OperationalError):
        psycopg2_at(instance, port=CONNECTOR_PORT, sslmode="disable")
    assert wait_until(lambda: instance.front.connections == 0)


def test_a_proxys_client_that_asks_for_encryption_inside_the_tunnel_is_told_no(
    server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    instance = make_instance(server.port)
    tls = tls_for(instance, client_files(tmp_path, instance.certificates))
    address = instance.front.address
    with (
        socket.create_connection((address, CONNECTOR_PORT), timeout=10) as plain,
        tls.wrap_socket(plain, server_hostname=address) as tunnel,
    ):
        for request in (80877104, 80877103):
            tunnel.sendall(struct.pack("!ii", 8, request))
            assert tunnel.recv(1) == b"N"
        body = struct.pack("!i", 196608) + b"user\0nobody\0\0"
        tunnel.sendall(struct.pack("!i", len(body) + 4) + body)
        assert tunnel.recv(1) == b"R"


# --- What goes through -----------------------------------------------------------------------------------------------


CANCELLING = """
import psycopg2, threading
connection = psycopg2.connect(dbname="postgres")
threading.Timer(0.3, connection.cancel).start()
try:
    connection.cursor().execute("SELECT pg_sleep(60)")
except psycopg2.Error as error:
    print(error.pgcode, end="")
"""


async def test_cancelling_reaches_the_query(
    server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    instance = make_instance(server.port)
    # libpq's request is never encrypted, and never refused. Its driver keeps other threads of its process from running
    # until the request has ended, the front's thread too, so it has a process of its own.
    environment = {
        "PGHOST": instance.front.address,
        "PGUSER": "postgres",
        "PGPASSWORD": PASSWORD,
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(instance.ca),
    }
    done = await asyncio.to_thread(run, sys.executable, "-c", CANCELLING, cwd=tmp_path, environment=environment)
    assert done.stdout == "57014", done.stderr

    connection = await asyncpg_at(instance)
    with pytest.raises(TimeoutError):
        await connection.fetchval("SELECT pg_sleep(60)", timeout=0.1)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    # asyncpg forgets `direct_tls` when it cancels, so this is written by hand.
    files = client_files(tmp_path, instance.certificates)
    connection = await asyncpg_at(instance, **by_the_connectors_port(instance, files))
    query = asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(60)"))
    await asyncio.to_thread(wait_until, lambda: sleeping(server))
    key = connection._protocol.backend_pid, connection._protocol.backend_secret
    address = instance.front.address
    with (
        socket.create_connection((address, CONNECTOR_PORT), timeout=10) as plain,
        tls_for(instance, files).wrap_socket(plain, server_hostname=address) as tunnel,
    ):
        tunnel.sendall(struct.pack("!iiii", 16, 80877102, *key))
        with pytest.raises(asyncpg.QueryCanceledError):
            await query
    await connection.close()
    assert not sleeping(server)


def sleeping(server: PostgresServer) -> int:
    with autocommit(server.url) as connection:
        found = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
        return int(connection.scalar(text(found)))


class SlowSink(io.RawIOBase):
    """Takes one piece, then nothing until it is told to go on."""

    def __init__(self) -> None:
        self.started, self.go_on = threading.Event(), threading.Event()
        self.size = 0

    def write(self, data: Any) -> int:
        self.started.set()
        assert self.go_on.wait(60)
        self.size += len(data)
        return len(data)


def test_much_data_goes_through_tls_and_waits_in_the_cluster_not_in_memory(
    server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port)
    memory = psutil.Process().memory_info
    before = memory().rss
    sink = SlowSink()
    reading, writing = psycopg2_at(instance), psycopg2_at(instance)
    with concurrent.futures.ThreadPoolExecutor() as pool, reading.cursor() as cursor:
        copying = pool.submit(cursor.copy_expert, f"COPY ({BIG}) TO STDOUT", sink)
        assert sink.started.wait(20)
        pid = reading.info.backend_pid
        # The server has to wait for the client, whatever is between them.
        waits = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'ClientWrite'"
        assert wait_until(lambda: answer(writing, waits))
        assert memory().rss - before < ROOM
        sink.go_on.set()
        copying.result(60)
    assert sink.size == ROWS * 1000

    with writing.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE big (x text)")
        cursor.copy_expert("COPY big FROM STDIN", Lines(ROWS))
        cursor.execute("SELECT count(*), sum(length(x)) FROM big")
        assert cursor.fetchone() == (ROWS, ROWS * 999)
    assert memory().rss - before < ROOM
    reading.close()
    writing.close()


class Lines(io.RawIOBase):
    """Rows of 1,000 bytes, made as they are asked for."""

    def __init__(self, count: int) -> None:
        self._left = count

    def read(self, size: int = -1) -> bytes:
        count = min(max(size // 1000, 1), self._left)
        self._left -= count
        return (b"x" * 999 + b"\n") * count


async def test_a_backend_ends_with_its_client(server: PostgresServer, make_instance: MakeInstance) -> None:
    instance = make_instance(server.port, ssl_mode=OPEN)
    for tls in (False, tls_for(instance)):
        connection = await asyncpg_at(instance, ssl=tls)
        pid = connection.get_server_pid()
        connection.terminate()
        await asyncio.to_thread(wait_until, lambda pid=pid: not backends(server, pid))
    assert wait_until(lambda: instance.front.connections == 0)


def backends(server: PostgresServer, pid: int) -> int:
    with autocommit(server.url) as connection:
        return int(connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}))


async def test_a_client_ends_with_its_backend_and_is_told_why(
    server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port)
    connection = await asyncpg_at(instance)
    under_way = asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(60)"))
    await asyncio.to_thread(wait_until, lambda: sleeping(server))
    with autocommit(server.url) as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": connection.get_server_pid()})
    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="due to administrator command"):
        await under_way
    assert await asyncio.to_thread(wait_until, lambda: instance.front.connections == 0)


# --- Moving ----------------------------------------------------------------------------------------------------------


async def test_the_address_stays_when_the_cluster_behind_it_changes(
    server: PostgresServer, second_server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port)
    early = await asyncpg_at(instance)
    instance.front.point_at(second_server.port)
    late = await asyncpg_at(instance)
    assert await early.fetchval("SHOW port") == str(server.port)
    assert await late.fetchval("SHOW port") == str(second_server.port)
    await early.close()
    await late.close()


async def test_a_cut_ends_every_connection_at_once(
    server: PostgresServer, second_server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    instance = make_instance(server.port, ssl_mode=OPEN)
    files = client_files(tmp_path, instance.certificates)
    ways = ({"ssl": False}, {}, by_the_connectors_port(instance, files))
    connections = [await asyncpg_at(instance, **way) for way in ways for _ in range(5)]
    under_way = [asyncio.ensure_future(each.fetchval("SELECT pg_sleep(60)")) for each in connections[::2]]
    # Some that have not said yet who they are.
    silent = [socket.create_connection((instance.front.address, port)) for port in (PORT, CONNECTOR_PORT)]
    silent[0].sendall(struct.pack("!ii", 8, 80877103))
    await asyncio.to_thread(wait_until, lambda: instance.front.connections == len(connections) + len(silent))

    instance.front.cut()
    assert instance.front.connections == 0
    for ended in await asyncio.gather(*under_way, return_exceptions=True):
        assert isinstance(ended, asyncpg.ConnectionDoesNotExistError)
    for connection in connections:
        with pytest.raises((asyncpg.InterfaceError, asyncpg.PostgresConnectionError, ConnectionError)):
            await connection.fetchval("SELECT 1")
    for each in silent:
        each.settimeout(10)
        with each, contextlib.suppress(ConnectionError):
            while each.recv(1000):
                pass

    instance.front.point_at(second_server.port)
    again = await asyncpg_at(instance)
    assert await again.fetchval("SHOW port") == str(second_server.port)
    await again.close()


@pytest.mark.parametrize("target", [None, "nothing listens"])
async def test_while_there_is_no_cluster_clients_are_told_in_postgresqls_words(
    target: str | None, make_instance: MakeInstance, tmp_path: Path
) -> None:
    instance = make_instance(None if target is None else free_port(), ssl_mode=OPEN)
    files = client_files(tmp_path, instance.certificates)
    for way in ({"ssl": False}, {}, by_the_connectors_port(instance, files)):
        with pytest.raises(asyncpg.CannotConnectNowError, match="the database system is"):
            await asyncpg_at(instance, **way)
    with pytest.raises(psycopg2.OperationalError, match="FATAL:  the database system is"):
        psycopg2_at(instance)


# --- Faults ----------------------------------------------------------------------------------------------------------


async def test_a_network_that_is_cut_off_carries_nothing_and_then_everything(
    server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port)
    connection = await asyncpg_at(instance)
    instance.front.cut_off(True)
    waiting = asyncio.ensure_future(connection.fetchval("SELECT 42"))
    with socket.create_connection((instance.front.address, PORT), timeout=0.3) as other:
        other.sendall(struct.pack("!ii", 8, 80877103))
        with pytest.raises(TimeoutError):
            other.recv(1)
        assert not waiting.done()
        instance.front.cut_off(False)
        other.settimeout(10)
        assert await asyncio.to_thread(other.recv, 1) == b"S"
    assert await waiting == 42
    await connection.close()


async def test_a_slow_network_delays_each_answer(server: PostgresServer, make_instance: MakeInstance) -> None:
    instance = make_instance(server.port)
    connection = await asyncpg_at(instance)
    instance.front.slow_down(0.1)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await connection.execute("SELECT 1")
    assert loop.time() - before >= 0.2
    await connection.close()


def test_who_does_not_say_who_he_is_or_speaks_another_protocol_is_sent_away(
    server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port, handshake_seconds=0.3)
    tls = struct.pack("!ii", 8, 80877103)
    for port, said in (
        (PORT, b""),
        (PORT, b"\0\0"),
        (PORT, tls),
        (PORT, b"GET / HTTP/1.1\r\n\r\n"),
        (PORT, struct.pack("!ii", 2**31 - 1, 196608)),
        # What was said before TLS must not pass for said in it.
        (PORT, tls + struct.pack("!ii", 41, 196608) + b"user\0postgres\0database\0postgres\0\0"),
        (CONNECTOR_PORT, b""),
        (CONNECTOR_PORT, tls),
    ):
        with socket.create_connection((instance.front.address, port), timeout=10) as client:
            client.sendall(said)
            heard = b""
            with contextlib.suppress(ConnectionError):
                while more := client.recv(1000):
                    heard += more
            # At most the consent to TLS, and its alert.
            assert len(heard) < 50
    assert wait_until(lambda: instance.front.connections == 0)


# --- IAM users -------------------------------------------------------------------------------------------------------

IAM_USER = "o'brien@project.iam"
SANDBOX_SECRET = bytes(range(32))


class OneToken:
    """What an instance with one IAM user knows."""

    def password_of(self, user: str) -> str | None:
        return derived_password(SANDBOX_SECRET, user) if user == IAM_USER else None

    def accepts(self, user: str, token: str) -> bool:
        return (user, token) == (IAM_USER, "its token")


@pytest.fixture
def iam_user(server: PostgresServer) -> Iterator[str]:
    with autocommit(server.url) as connection:
        password = derived_password(SANDBOX_SECRET, IAM_USER)
        connection.exec_driver_sql(f'CREATE ROLE "{IAM_USER}" LOGIN PASSWORD %s', (password,))
    yield IAM_USER
    with autocommit(server.url) as connection:
        connection.exec_driver_sql(f'DROP ROLE "{IAM_USER}"')


async def test_an_iam_user_gets_in_by_its_token_and_by_nothing_else(
    iam_user: str, server: PostgresServer, make_instance: MakeInstance, tmp_path: Path
) -> None:
    instance = make_instance(server.port, ssl_mode=OPEN, logins=OneToken())
    plain, with_token, with_other = (
        client_files(tmp_path, instance.certificates, access_token=token)
        for token in (None, "its token", "somebody else's")
    )
    by_password = psycopg2_at(instance, user=iam_user, password="its token")
    assert answer(by_password, "SELECT current_user") == iam_user
    by_password.close()
    for files, password in ((plain, "its token"), (with_token, None), (with_token, "anything")):
        options = by_the_connectors_port(instance, files)
        connection = await asyncpg_at(instance, user=iam_user, password=password, **options)
        assert await connection.fetchval("SELECT current_user") == iam_user
        await connection.close()

    refused = f'Cloud SQL IAM service account authentication failed for user "{iam_user}"'
    derived = derived_password(SANDBOX_SECRET, iam_user)
    for files, password in ((plain, "somebody else's"), (plain, derived), (with_other, "its token")):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=refused):
            await asyncpg_at(instance, user=iam_user, password=password, **by_the_connectors_port(instance, files))
    # A token in clear text is anybody's.
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=refused):
        await asyncpg_at(instance, user=iam_user, password="its token", ssl=False)
    # A certificate with a token is no way in for somebody else.
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg_at(instance, password="its token", **by_the_connectors_port(instance, with_token))
    # What the cluster says reaches the client.
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg_at(instance, user=iam_user, database="nowhere", **by_the_connectors_port(instance, with_token))


async def test_a_role_whose_password_somebody_changed_is_refused_in_the_clusters_words(
    iam_user: str, server: PostgresServer, make_instance: MakeInstance
) -> None:
    instance = make_instance(server.port, logins=OneToken())
    with autocommit(server.url) as connection:
        connection.exec_driver_sql(f'ALTER ROLE "{iam_user}" PASSWORD %s', (PASSWORD,))
    with pytest.raises(asyncpg.InvalidPasswordError, match="password authentication failed"):
        await asyncpg_at(instance, user=iam_user, password="its token")


def test_instances_have_addresses_of_their_own_here() -> None:
    assert loopback_addresses_work() == psutil.LINUX
