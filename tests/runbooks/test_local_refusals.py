"""Broken days of the local platform: each is one clear line, and nothing is harmed."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.local import binaries, database, doctor, processes, valkey
from runbooks.local.credentials import load_or_make
from runbooks.local.errors import LocalPlatformError
from runbooks.local.folder import StateFolder
from runbooks.local.ports import free_port
from runbooks.local.record import Program, Record, write_record
from runbooks.local.stop import stop
from runbooks.local.supervisor import Options, supervise
from tests.runbooks.local_cli import Console, refusal


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port whose program takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_busy_port_is_refused_before_anything_starts(tmp_path: Path, busy_port: int) -> None:
    console = Console(tmp_path)
    line = refusal(console.run("up", "--detach", "--json", "--port", str(busy_port)))
    assert f"port {busy_port} is in use by " in line
    assert f"(pid {os.getpid()}); free it or choose another: holdfast up --port N" in line
    assert not console.folder.postgres.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    line = refusal(Console(tmp_path).run("up", "--state", "/proc/holdfast"))
    assert "the state folder /proc/holdfast cannot be used" in line


def test_a_folder_in_another_use_is_refused_untouched(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    with pytest.raises(LocalPlatformError, match="is in the way: it is not a folder"):
        StateFolder(in_the_way).make()
    tmp_path.chmod(0o755)
    with pytest.raises(LocalPlatformError, match="holds something else than Holdfast's state"):
        StateFolder(tmp_path).make()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert in_the_way.read_text() == "mine"
    with pytest.raises(LocalPlatformError, match="cannot be used: No such file or directory"):
        StateFolder(tmp_path / "missing" / "state").make()


def test_a_nearly_full_disk_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbooks.local.folder.NEEDED_BYTES", shutil.disk_usage(tmp_path).total + 1)
    # The supervisor's process is its own elsewhere; here it is the tests'.
    monkeypatch.setattr(os, "umask", lambda mode: mode)
    state = StateFolder(tmp_path / "state")
    options = Options(folder=state, port=free_port())
    with pytest.raises(LocalPlatformError, match=r"^\d+ MB are free where .* and \d+ MB are "):
        supervise(options, announce=lambda _: pytest.fail("it started"), tell=lambda _: None)
    assert not state.postgres.exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hunter2", "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("mysql://u:hunter2@h/d", "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        ("postgresql://u:hunter2@127.0.0.1:1/d", "Connection refused"),
        ("postgresql://u:hunter2@127.0.0.1:{busy}/d", "timeout expired"),
    ],
)
def test_a_database_that_does_not_answer_is_refused_in_time(
    url: str, reason: str, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with pytest.raises(LocalPlatformError, match=f"^--database-url: .*{reason}") as refused:
        database.ensure_reachable(database.server_url(url.format(busy=busy_port)))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hunter2", "write redis://"),
        ("redis://:hunter2@127.0.0.1:1/0", "Connection refused"),
        ("redis://:hunter2@127.0.0.1:{busy}/0", "Timeout"),
    ],
)
def test_a_cache_that_does_not_answer_is_refused_in_time(
    url: str, reason: str, busy_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "CONNECT_SECONDS", 0.5)
    with pytest.raises(LocalPlatformError, match=f"^--redis-url: .*{reason}") as refused:
        valkey.ensure_reachable(url.format(busy=busy_port))
    assert "hunter2" not in str(refused.value)


def test_a_wrong_address_is_one_line_of_the_command(tmp_path: Path) -> None:
    console = Console(tmp_path)
    line = refusal(console.run("up", "--port", str(free_port()), "--database-url", "postgresql://u:p@127.0.0.1:1/d"))
    assert "--database-url: " in line
    assert not console.folder.postgres.exists()


def test_numbers_that_other_programs_have_now_are_left_alone(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.make()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        reused = processes.Identity(pid=bystander.pid, created=processes.Identity.of(bystander.pid).created - 60)
        folder.lock.write_text(reused.model_dump_json())
        program = Program(url="http://127.0.0.1:1", process=reused)
        write_record(folder, Record(api=program, database=program, cache=program))
        assert stop(folder) == "not running"
        assert bystander.poll() is None
        bystander.communicate(b"\n")
    assert not folder.record.exists()


def test_lost_or_damaged_credentials_are_not_replaced_behind_the_data(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.make()
    made = load_or_make(folder)
    assert load_or_make(folder) == made
    folder.credentials.write_text('{"superuser_password": 1')
    with pytest.raises(LocalPlatformError, match="is damaged"):
        load_or_make(folder)
    folder.credentials.unlink()
    folder.postgres.mkdir()
    (folder.postgres / "PG_VERSION").write_text("18\n")
    with pytest.raises(LocalPlatformError, match="which has its password, is gone"):
        load_or_make(folder)
    assert not folder.credentials.exists()


def test_root_without_user_namespaces_is_told_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        LocalPlatformError, match="refuses user namespaces; run as an ordinary user, or give --database"
    ):
        binaries.ordinary_user.__wrapped__()


def test_doctor_names_each_thing_that_is_wrong_and_what_mends_it(tmp_path: Path, busy_port: int) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    arguments = ("--json", "--port", str(busy_port), "--postgres-bin", str(tmp_path), "--state", str(in_the_way))
    done = Console(tmp_path).run("doctor", *arguments)
    assert done.returncode == 1, done.stderr
    wrong = {finding["check"]: finding for finding in json.loads(done.stdout) if not finding["ok"]}
    assert list(wrong) == ["postgresql", "state folder", "port"]
    assert all(finding["fix"].startswith("holdfast up") for finding in wrong.values())
    assert in_the_way.read_text() == "mine"


def test_doctor_leaves_no_trace(tmp_path: Path) -> None:
    findings = doctor.examine(Options(StateFolder(tmp_path / "state"), free_port()))
    assert all(finding.ok for finding in findings), findings
    assert not list(tmp_path.iterdir())
