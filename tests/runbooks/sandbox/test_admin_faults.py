"""Faults by name and count, and what survives the sandbox's own end."""

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.faults import Fault, Faults
from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, PLAIN, Admin, code, reason, sandbox
from tests.running import ROOT, clean_environment
from tests.waiting import wait_until


@pytest.mark.parametrize(
    "text",
    ["operations.get:503x3", "*:429", "instances.clone:error", "instances:error=NO_ROOM_x2x1", "operations:slow=0.5"],
)
def test_a_fault_is_read_as_it_is_written(text: str) -> None:
    assert str(Fault.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "x", "x:", "x:200", "x:999", "x:slow", "x:slow=fast", "x:503=1", "x:errorx", "a..b:503"]
)
def test_what_is_no_fault_is_refused_with_what_one_is(text: str) -> None:
    with pytest.raises(SandboxError, match="write NAME:503x3"):
        Fault.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("instances.gett:503", "is it instances.get?"),
        (
            "secretmanager.secret:503",
            "no method, resource or service secretmanager.secret; is it secretmanager.secrets",
        ),
        ("zebra:503", "README.md lists them"),
        ("instances.get:error", "begins none; write instances.get:503"),
        ("run.jobs:error", "begins none; write run.jobs:503"),
        ("users.insert:corrupt", "only what backupRuns.insert or Backups.CreateBackup leaves"),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(text: str, why: str) -> None:
    with pytest.raises(SandboxError, match=re.escape(why)):
        read_fault(text)


def test_a_fault_is_about_a_method_a_resource_a_service_or_all() -> None:
    secret, regional = "secretmanager.projects.secrets.get", "secretmanager.projects.locations.secrets.get"
    asked = [secret, regional, "run.projects.locations.jobs.run", "projects.instances.getLatestRecoveryTime"]
    for text, concerned in (
        ("*:503", asked),
        ("secretmanager:503", asked[:2]),
        ("secretmanager.secrets:503", asked[:2]),
        ("secretmanager.secrets.get:503", asked[:2]),
        ("secretmanager.projects.secrets:503", asked[:1]),
        ("run.jobs.run:503", asked[2:3]),
        ("instances:503", asked[3:]),
        ("operations:503", []),
        ("operations:slow=1", []),
    ):
        fault = read_fault(text)
        assert [method for method in asked if fault.concerns(method)] == concerned, text


def test_a_fault_ends_after_its_count_and_concerns_its_methods_only() -> None:
    faults = Faults([Fault.parse("operations.get:503x2"), Fault.parse("instances:429")])
    asked = ["operations.get", "operations.list", "operations.get", "operations.get", "instances.get", "instances.list"]
    assert [faults.status(method) for method in asked] == [503, None, 503, None, 429, 429]
    faults.clear()
    assert faults.all() == []


def test_faults_over_http(tmp_path: Path) -> None:
    with sandbox(tmp_path / "state", "instances.list:503x1") as admin:
        assert reason(admin.http.get("instances")) == (503, "serviceUnavailable")
        assert admin.http.get("instances").status_code == 200
        for text, expected in (("409", "operationInProgress"), ("412", "staleData"), ("429", "rateLimitExceeded")):
            admin.fault(f"instances.list:{text}x1")
            assert reason(admin.http.get("instances")) == (int(text), expected)
        for wrong in ("nonsense", "instances.lst:503"):
            refused = admin.control.post("faults", json={"fault": wrong})
            assert (refused.status_code, wrong in refused.json()["error"]) == (400, True)
        admin.fault("instances.insert:error=NO_ROOMx1")
        failed = admin.done(admin.http.post("instances", json={"name": "one", "settings": PLAIN}))
        assert code(failed) == "NO_ROOM"
        assert admin.get("one")["state"] == "FAILED"
        admin.fault("operations.get:503")
        assert admin.control.get("faults").json() == {"faults": ["operations.get:503"]}
        assert admin.control.delete("faults").json() == {"faults": []}
        admin.fault("operations:slow=0.5")
        slow = admin.well(admin.http.delete("instances/one"))
        begun, asked = (dt.datetime.fromisoformat(slow[name]) for name in ("startTime", "insertTime"))
        assert begun - asked >= dt.timedelta(seconds=0.5)


@contextmanager
def command(state: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Admin]]:
    """The command itself, as a process of its own."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "runbooks.sandbox",
            "--port",
            "0",
            "--state",
            str(state),
            "--json",
            *arguments,
        ],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        admin = Admin(json.loads(process.stdout.readline())["sql"])
        yield process, admin
        admin.close()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def servers(state: Path) -> list[Any]:
    """PostgreSQL servers whose data is in a folder."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and str(process.info["cwd"]).startswith(str(state))
    ]


def test_what_was_there_is_there_after_sigkill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with command(state) as (process, admin):
        admin.insert("one", ENTERPRISE, rootPassword=PASSWORD)
        admin.sql("one", MARKS)
        replica = {"name": "rep", "masterInstanceName": "one", "settings": ENTERPRISE}
        admin.well(admin.http.post("instances", json=replica))
        admin.mark("one", "before")
        known = admin.get("one")
        admin.fault("backupRuns.insert:slow=60")
        unfinished = admin.http.post("instances/one/backupRuns").json()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    with command(state, "--fault", "users.list:503x1") as (process, admin):
        assert reason(admin.http.get("instances/one/users")) == (503, "serviceUnavailable")
        failed = admin.done(admin.http.get(f"operations/{unfinished['name']}"))
        assert code(failed) == "INTERNAL_ERROR"
        assert "sandbox was stopped" in failed["error"]["errors"][0]["message"]
        runs = admin.http.get("instances/one/backupRuns").json()["items"]
        assert [run["status"] for run in runs] == ["FAILED", "SUCCESSFUL"]
        now = admin.get("one")
        assert {name: now[name] for name in ("settings", "ipAddresses", "serverCaCert", "state")} == {
            name: known[name] for name in ("settings", "ipAddresses", "serverCaCert", "state")
        }
        moment = admin.mark("one", "after")
        wait_until(lambda: admin.marks("rep") == {"before", "after"})
        admin.mark("one", "late")
        admin.well(admin.clone("one", "two", pointInTime=moment))
        assert admin.marks("two") == {"before", "after"}
        assert servers(state)
        second = subprocess.run(
            [sys.executable, "-m", "runbooks.sandbox", "--port", "0", "--state", str(state)],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode != 0
        assert "a sandbox runs on" in second.stderr
        assert len(second.stderr.splitlines()) == 1
    assert process.returncode == 0
    assert servers(state) == []
