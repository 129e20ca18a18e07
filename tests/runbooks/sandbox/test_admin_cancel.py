"""What is cancelled halfway ends soon, leaves nothing behind, and its source whole."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.runbooks.sandbox.admin import MARKS, PASSWORD, PLAIN, Admin, code, sandbox
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cancel") / "state"


@pytest.fixture(scope="module")
def admin(state: Path) -> Iterator[Admin]:
    with sandbox(state) as admin:
        admin.insert("one", PLAIN, rootPassword=PASSWORD)
        admin.sql("one", MARKS)
        yield admin


@contextmanager
def without_checkpoints(admin: Admin) -> Iterator[None]:
    """A base backup begins with a checkpoint, so here it comes no further."""
    [(pid,)] = admin.sql("one", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def copying(state: Path) -> list[psutil.Process]:
    """The programs that copy an instance."""
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "pg_basebackup" and str(state) in " ".join(process.info["cmdline"] or ())
    ]


def leftovers(state: Path) -> set[str]:
    """What there is of backups and copies, but for the instance's own data."""
    found = [path for path in state.rglob("*") if path.is_dir() and len(path.relative_to(state).parts) <= 4]
    return {path.name for path in found if "copy-" in path.name or "unfinished" in path.name or path.name.isdigit()}


def test_a_backup_cancelled_halfway(admin: Admin, state: Path) -> None:
    admin.mark("one", "before")
    with without_checkpoints(admin):
        begun = admin.http.post("instances/one/backupRuns")
        wait_until(lambda: copying(state))
        assert admin.http.post(f"operations/{begun.json()['name']}/cancel").json() == {}
        assert code(admin.done(begun)) == "OPERATION_CANCELLED"
        wait_until(lambda: not copying(state))
    [run] = admin.http.get("instances/one/backupRuns").json()["items"]
    assert run["status"] == "FAILED"
    assert leftovers(state) == set()
    admin.mark("one", "after")
    admin.backup("one")
    assert admin.marks("one") == {"before", "after"}
    assert admin.sql("one", "SELECT count(*) FROM pg_replication_slots") == [(0,)]


def test_a_clone_cancelled_halfway(admin: Admin, state: Path) -> None:
    rows = admin.marks("one")
    known = leftovers(state)
    instances = {path.name for path in (state / "sql" / "instances").iterdir()}
    with without_checkpoints(admin):
        begun = admin.clone("one", "two")
        wait_until(lambda: copying(state))
        admin.http.post(f"operations/{begun.json()['name']}/cancel")
        assert code(admin.done(begun)) == "OPERATION_CANCELLED"
        wait_until(lambda: not copying(state))
    assert admin.get("two")["state"] == "FAILED"
    assert leftovers(state) == known
    assert {path.name for path in (state / "sql" / "instances").iterdir()} == instances
    admin.well(admin.http.delete("instances/two"))
    admin.well(admin.clone("one", "three"))
    assert admin.marks("three") == admin.marks("one") == rows
