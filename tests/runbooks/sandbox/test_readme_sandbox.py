"""The README's two examples, executed as they stand, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest

from runbooks.local.errors import LocalPlatformError
from runbooks.local.ports import free_port, is_free
from runbooks.sandbox import testing
from tests.waiting import wait_until

README = (Path(testing.__file__).parent / "README.md").read_text()
DEADLINE = 60.0


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found.count("\n") <= 10
    return found


def two_free_ports() -> int:
    return wait_until(lambda: port if is_free((port := free_port()) + 1) else None)


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_ten_lines_of_shell_bring_a_deleted_row_back(tmp_path: Path) -> None:
    example = block("sh")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # What still runs when it fails is in its group.
    with subprocess.Popen(
        ["sh", "-ec", example],
        env={**os.environ, "PATH": path, "PORT": str(two_free_ports())},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, complaints = shell.communicate(timeout=DEADLINE)
        finally:
            end_group(shell.pid)
    assert shell.returncode == 0, complaints
    answers = [line for line in said.splitlines() if len(line.split()) == 1]
    assert answers == ["kept", "0", re.findall(r"# (.*)$", example)[-1]] == ["kept", "0", "kept"]


def end_group(leader: int) -> None:
    """End what a shell left behind, by the id of each."""
    left = [process for process in psutil.process_iter() if group_of(process) == leader]
    for process in left:
        process.terminate()
    psutil.wait_procs(left, DEADLINE)


def group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def test_ten_lines_of_python_are_anybodys_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(block("python"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["test_mine.py"]


@pytest.fixture(scope="module")
def cloud() -> Iterator[testing.Sandbox]:
    with testing.sandbox("instances.get:503x1") as running:
        yield running


def test_every_service_is_where_it_says(cloud: testing.Sandbox) -> None:
    assert {"sql", "secretmanager", "storage", "monitoring"} <= cloud.endpoints.keys()
    answer = httpx.get(f"{cloud['sql']}/v1/projects/p/instances/any", headers={"Authorization": "Bearer any"})
    assert answer.status_code == 503


def test_an_instance_is_there_for_who_has_its_password(cloud: testing.Sandbox) -> None:
    address = cloud.instance("a", password="p@ss '\"%", version="POSTGRES_16", project="q")
    with cloud.admin("q") as admin:
        assert admin.instances.get("a").database_version == "POSTGRES_16"
    connection = psycopg2.connect(**address, user="postgres", password="p@ss '\"%", dbname="postgres")
    assert connection.server_version // 10_000 == 16
    connection.close()
    with pytest.raises(KeyError):
        cloud.address("a")


def test_nothing_but_its_state_is_left_of_one_that_has_ended(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = set(psutil.Process().children())
    with testing.sandbox(state=state) as cloud:
        (server,) = set(psutil.Process().children()) - before
        assert cloud["state"] == str(state)
    assert not server.is_running()
    assert state.is_dir()


def test_one_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(LocalPlatformError, match=r"the sandbox does not start: .*no-such-thing"),
        testing.sandbox("no-such-thing"),
    ):
        pass
