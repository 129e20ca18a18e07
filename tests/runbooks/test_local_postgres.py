"""The PostgreSQL server as a class, without the platform around it."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.local import database, processes
from runbooks.local.binaries import postgres_programs
from runbooks.local.errors import LocalPlatformError
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from tests.waiting import wait_until

PASSWORD = "p'a\"s%s w#rd@:/é"


def make_server(folder: Path) -> PostgresServer:
    return PostgresServer(
        programs=postgres_programs(), data=folder / "data", log=folder / "log", port=free_port(), password=PASSWORD
    )


def ask(server: PostgresServer, statement: str) -> object:
    with database.connect(server.url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return row[0] if row else None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    folder = tmp_path / "a b'c%é"
    folder.mkdir()
    made = make_server(folder)
    yield made
    made.stop()
    processes.end_postgres_of(made.data)


def test_serves_on_a_hostile_path_and_gives_its_folder_to_one_server_only(server: PostgresServer) -> None:
    # What an init that was killed would have left.
    unfinished = server.data.with_name("data.unfinished")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").touch()
    server.init()
    assert [path.name for path in server.data.parent.iterdir()] == ["data"]
    made_at = (server.data / "PG_VERSION").stat().st_mtime_ns
    server.init()
    assert (server.data / "PG_VERSION").stat().st_mtime_ns == made_at, "a second init changed the data"
    server.start()
    server.wait_ready()
    assert ask(server, "SELECT lower('É')") == "é"
    assert ask(server, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(server, "SHOW shared_preload_libraries") == "pg_stat_statements"

    # As if its parent had been killed: another server object on the same folder ends it before it starts.
    successor = make_server(server.data.parent)
    successor.start()
    try:
        successor.wait_ready()
        assert server.exit_code == 0, "not a clean shutdown"
        assert ask(successor, "SELECT 1") == 1
    finally:
        successor.stop()
    assert not processes.postgres_of(server.data)
    assert "was not properly shut down" not in server.log.read_text()


def test_a_stale_pid_file_whose_number_another_program_has_does_not_stop_the_start(server: PostgresServer) -> None:
    server.init()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        # As a killed server would have left it, and as PostgreSQL alone refuses it.
        (server.data / "postmaster.pid").write_text(
            f"{bystander.pid}\n{server.data}\n1795159444\n{server.port}\n\n127.0.0.1\n 10076201        12\nready   \n"
        )
        server.start()
        server.wait_ready()
        assert ask(server, "SELECT 1") == 1
        assert bystander.poll() is None, "a process that is not ours was ended"
        bystander.communicate(b"\n")


def test_a_killed_server_recovers_what_was_committed(server: PostgresServer) -> None:
    server.init()
    server.start()
    server.wait_ready()
    with database.connect(server.url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 0.0 AS value")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.exit_code is not None)
    server.start()
    server.wait_ready()
    assert ask(server, "SELECT value FROM kept") == 0


def test_a_first_start_on_a_full_disk_leaves_nothing_half_made(server: PostgresServer) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(LocalPlatformError, match=r"cannot be made: .*File too large"):
            server.init()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(server.data.parent.iterdir()) == []
    server.init()
    assert server.is_initialised


def test_another_versions_data_is_refused_untouched(server: PostgresServer) -> None:
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(LocalPlatformError, match=r"PostgreSQL 16's and .* has PostgreSQL \d+; .*--postgres-bin"):
        server.init()
    assert [path.name for path in server.data.iterdir()] == ["PG_VERSION"]


def test_a_start_that_fails_quotes_the_servers_own_reason(server: PostgresServer) -> None:
    server.init()
    with socket.create_server(("127.0.0.1", server.port)):
        server.start()
        # Not the last line of its log, which only says that it is shut down.
        with pytest.raises(LocalPlatformError, match=r"FATAL: .*could not create any TCP/IP sockets"):
            server.wait_ready()
