"""The container's side: the wheel alone, in an environment that has the runtime's lock and nothing else."""

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from runbooks.local.ports import free_port
from tests.conftest import SECRET, TestDatabase
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv" / "runtime-only"
PYTHON = ENVIRONMENT / "bin" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Path]:
    """The environment's folder of commands, with the wheel in it."""
    assert PYTHON.exists(), "`make test` makes this environment from runtime-lock.txt"
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", "--force-reinstall", wheel], check=True)
    yield PYTHON.parent
    subprocess.run([*pip, "uninstall", "--yes", "holdfast"], check=True)


def run(command: list[str | Path], cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={"PATH": os.environ["PATH"], **settings}, capture_output=True, text=True, check=False
    )


def test_it_holds_the_runtime_and_the_migrations_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        rooms = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name}
    assert rooms == {"runtime", "migrations"}


def test_its_lock_has_all_that_it_needs(installed: Path, tmp_path: Path) -> None:
    checked = run([installed / "python", "-m", "pip", "check"], tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_none_of_its_commands_is_broken(installed: Path, tmp_path: Path) -> None:
    listing = run([installed / "holdfast", "--help"], tmp_path).stdout
    commands = re.findall(r"^│ (\w+) ", listing, re.MULTILINE)
    assert {"serve", "migrate", "partitions", "keys"} <= set(commands)
    assert "up" not in commands
    for command in commands:
        assert run([installed / "holdfast", command, "--help"], tmp_path).returncode == 0


def test_it_migrates_and_serves(installed: Path, tmp_path: Path, make_database: Callable[..., TestDatabase]) -> None:
    database = make_database()
    settings = {
        "DATABASE_URL": database.url().render_as_string(hide_password=False),
        "SECRET_KEY": SECRET,
        "API_PORT": str(free_port()),
        "MAX_WORKERS": "1",
    }
    migrated = run([installed / "python", "-m", "runtime", "migrate"], tmp_path, **settings)
    assert migrated.returncode == 0, migrated.stderr

    def is_ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{settings['API_PORT']}/health/ready", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    with (tmp_path / "log").open("w") as log:
        serving = subprocess.Popen(
            [installed / "python", "-m", "runtime", "serve"], cwd=tmp_path, env=settings, stdout=log
        )
    try:
        wait_until(is_ready)
    finally:
        serving.send_signal(signal.SIGTERM)
        # One worker ends itself by the signal again, once it has finished its requests.
        assert serving.wait(timeout=15) in (0, -signal.SIGTERM)
