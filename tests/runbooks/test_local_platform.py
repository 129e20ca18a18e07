"""`holdfast up`, `status`, `doctor` and `down`, on real servers."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values
from sqlalchemy import make_url

from runbooks.local import database, processes
from runbooks.local.binaries import postgres_programs, valkey_program
from runbooks.local.lock import holder
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runbooks.local.record import read_record
from runbooks.local.stop import stop
from runbooks.local.valkey import ValkeyServer, ping
from tests.runbooks.local_cli import Console, refusal
from tests.waiting import wait_until


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    cwd = tmp_path / "ho me's $x"
    cwd.mkdir(mode=0o755)
    made = Console(cwd)
    yield made
    stop(made.folder)
    assert not made.processes()


def answer(url: str, key: str | None = None) -> int:
    return httpx.get(url, headers={"X-API-Key": key} if key else {}, timeout=5).status_code


def answer_or_none(url: str) -> int | None:
    try:
        return answer(url)
    except httpx.TransportError:
        return None


def one_line(text: str) -> Any:
    assert text.count("\n") == 1, text
    return json.loads(text)


def supervisor_pid(console: Console) -> int:
    identity = holder(console.folder.lock)
    assert identity is not None
    return identity.pid


def outside(console: Console) -> dict[Path, tuple[int, int]]:
    """Permissions and owners of what is around the state folder."""
    around = [console.cwd, *console.cwd.parents, *postgres_programs().parents]
    return {path: (path.stat().st_mode, path.stat().st_uid) for path in around}


def test_from_nothing_to_serving_to_stopped_twice(console: Console) -> None:
    before, port = outside(console), str(free_port())

    # The first start fails on a full disk, in one line, and the next one is not hindered by it.
    assert "File too large" in refusal(console.run("up", "--port", port, file_blocks=2000))
    assert not console.processes()

    # The user's environment and settings file are about other databases.
    theirs = {
        "DATABASE_URL": "postgresql://u:p@127.0.0.1:1/theirs",
        "GCP_SQL_INSTANCE": "project:region:instance",
        "REDIS_URL": "redis://127.0.0.1:1",
        "SECRET_KEY": "theirs",
        "PGSSLMODE": "require",
        "PGOPTIONS": "-c search_path=theirs",
    }
    (console.cwd / ".env").write_text("DB_HOST=theirs\nDB_USER=theirs\n")
    done = console.run("up", "--detach", "--json", "--port", port, environment=theirs)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    up = one_line(done.stdout)
    assert list(up) == ["api", "docs", "key", "database", "cache"]
    assert up["api"] == f"http://127.0.0.1:{port}"
    assert answer(f"{up['api']}/health/ready") == 200
    assert answer(f"{up['api']}/api/experiments", up["key"]) == 200
    assert answer(f"{up['api']}/api/experiments") == 401
    ping(up["cache"], seconds=5)
    with database.connect(make_url(up["database"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user, has_schema_privilege('public', 'CREATE')")
        assert cursor.fetchone() == ("holdfast_api", False)

    # What it keeps is its owner's alone, its logs tell no secret, and nothing else was touched.
    for path in (console.folder.path, *console.folder.path.rglob("*")):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path
    secrets = json.loads(console.folder.credentials.read_text())
    for log in console.folder.log("up").parent.iterdir():
        text = log.read_text()
        assert not [name for name, value in secrets.items() if isinstance(value, str) and value in text], log
    assert outside(console) == before
    assert {path.name for path in console.cwd.iterdir()} == {".holdfast", ".env"}

    done = console.run("status", "--json", environment=theirs)
    assert done.returncode == 0, done
    status = one_line(done.stdout)
    assert status["running"] is True
    assert all(status[part]["healthy"] and status[part]["pid"] for part in ("api", "database", "cache")), status
    assert not [value for value in secrets.values() if isinstance(value, str) and value in done.stdout]
    # What the API itself makes, such as an archive, is private too.
    assert "Umask:\t0077" in Path(f"/proc/{status['api']['pid']}/status").read_text()

    pid = supervisor_pid(console)
    line = refusal(console.run("up", "--json", "--port", str(free_port())))
    assert f"runs already at {up['api']} (pid {pid})" in line
    done = console.run("doctor", "--json", "--port", port)
    assert (done.returncode, [finding for finding in one_line(done.stdout) if not finding["ok"]]) == (0, [])

    assert console.run("down").stdout == "stopped\n"
    assert not console.processes()
    assert not console.folder.record.exists()
    done = console.run("down")
    assert (done.returncode, done.stdout) == (0, "not running\n")
    done = console.run("status", "--json")
    assert (done.returncode, one_line(done.stdout)["running"]) == (1, False)


def test_what_a_killed_supervisor_left_is_seen_and_ended_and_data_and_key_stay(tmp_path: Path) -> None:
    console, port = Console(tmp_path, workers=2), str(free_port())
    up = one_line(console.run("up", "--detach", "--json", "--port", port).stdout)
    try:
        owner = make_url(str(dotenv_values(console.folder.env)["MIGRATION_DATABASE_URL"]))
        with database.connect(owner) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 0.0 AS value")
        os.kill(supervisor_pid(console), signal.SIGKILL)
        left = console.processes()
        assert len(left) >= 5, "two API workers, their parent, Valkey and PostgreSQL"

        status = one_line(console.run("status", "--json").stdout)
        assert status["running"] is False
        assert "supervisor was killed" in status["api"]["detail"]
        done = console.run("doctor", "--json", "--port", port)
        assert done.returncode == 1
        (finding,) = (finding for finding in one_line(done.stdout) if not finding["ok"])
        assert (finding["check"], finding["fix"]) == ("processes", "holdfast down")

        # The record lost too: the mark that each process carries is enough.
        console.folder.record.unlink()
        again = one_line(console.run("up", "--detach", "--json", "--port", port).stdout)
        assert again == up, "another key, or another address"
        with database.connect(owner) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT value FROM kept")
            assert cursor.fetchone() == (0,)
        assert not [process for process in left if processes.is_alive(process)]

        os.kill(supervisor_pid(console), signal.SIGKILL)
        assert "that a killed supervisor had left" in console.run("down").stdout
        assert not console.processes()
    finally:
        stop(console.folder)


def test_in_the_foreground_it_ends_by_ctrl_c_or_when_a_part_dies(console: Console) -> None:
    port = str(free_port())
    with console.start("up", "--json", "--port", port) as first:
        assert first.stdout is not None
        up = json.loads(first.stdout.readline())
        assert answer(f"{up['api']}/health/ready") == 200
        first.send_signal(signal.SIGINT)
        assert first.communicate(timeout=30)[0] == "", "more than one line on standard output"
    assert first.returncode == 0
    assert not console.processes()

    # A real folder of other programs: links to the embedded ones.
    programs = console.cwd / "programs"
    programs.symlink_to(postgres_programs())
    with replace(console, workers=2).start("up", "--port", port, "--postgres-bin", "programs") as second:
        record = wait_until(lambda: read_record(console.folder))
        wait_until(lambda: answer_or_none(f"{record.api.url}/health/ready") == 200)
        assert record.database.process is not None
        server = record.database.process.find()
        assert server is not None
        assert Path(server.cmdline()[0]) == programs / "postgres"
        # Its workers outlive it, and the supervisor ends them too.
        assert record.api.process is not None
        os.kill(record.api.process.pid, signal.SIGKILL)
        said = second.communicate(timeout=30)
    assert second.returncode == 1
    assert up["key"] in said[0], "another key"
    assert "the API ended on its own" in said[1].splitlines()[-1]
    assert not console.processes()


def test_servers_of_ones_own_are_used_and_not_stopped(console: Console, tmp_path: Path) -> None:
    server = PostgresServer(
        programs=postgres_programs(), data=tmp_path / "pg", log=tmp_path / "pg.log", port=free_port(), password="pw"
    )
    (tmp_path / "vk").mkdir()
    cache = ValkeyServer(
        program=valkey_program(),
        folder=tmp_path / "vk",
        log=tmp_path / "vk.log",
        port=free_port(),
        password="p@/ \\'\"%",
    )
    try:
        server.init()
        server.start()
        cache.start()
        server.wait_ready()
        cache.wait_ready()
        with database.connect(server.url) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE plain LOGIN PASSWORD 'pw'")
            # A name and a password that need quoting in an address.
            cursor.execute("""CREATE ROLE "de'ploy@r" LOGIN CREATEROLE CREATEDB PASSWORD 'p%s w#rd@:/[1]$x'""")
        port, plain = str(free_port()), server.url.set(username="plain").render_as_string(hide_password=False)
        line = refusal(console.run("up", "--port", port, "--database-url", plain))
        assert "--database-url: the user plain may not create roles" in line

        url = server.url.set(username="de'ploy@r", password="p%s w#rd@:/[1]$x", database="mine")
        given = {"HOLDFAST_DATABASE_URL": url.render_as_string(hide_password=False), "HOLDFAST_REDIS_URL": cache.url}
        done = console.run("up", "--detach", "--json", "--port", port, environment=given)
        assert done.returncode == 0, done.stderr
        up = one_line(done.stdout)
        assert make_url(up["database"]).database == "mine"
        assert up["cache"] == cache.url
        assert answer(f"{up['api']}/api/experiments", up["key"]) == 200
        status = one_line(console.run("status", "--json").stdout)
        assert status["database"] == {
            "url": f"postgresql://holdfast_api:***@127.0.0.1:{server.port}/mine",
            "pid": None,
            "healthy": True,
            "detail": "answers",
        }
        console.run("down")
        assert server.exit_code is None
        assert cache.exit_code is None
    finally:
        cache.stop()
        server.stop()
