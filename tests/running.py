"""Real commands, as a container or an operator starts them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from runtime.__main__ import main
from runtime.settings import ApiSettings
from tests.conftest import SECRET, TestDatabase, as_secret

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent
DEADLINE = 60.0


def run(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with these settings and no others."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment() | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def runtime(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m runtime`; a warning ends it."""
    return run(sys.executable, "-W", "error", "-m", "runtime", *arguments, cwd=cwd, environment=environment)


def call(
    patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], *arguments: str, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `python -m runtime` in this process, which is quicker; a traceback fails the test."""
    with patch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        patched.setattr(sys, "argv", ["runtime", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capture.readouterr()
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)


def clean_environment() -> dict[str, str]:
    """This process's environment without settings."""
    ours = {name.upper() for name in ApiSettings.model_fields}
    return {name: value for name, value in os.environ.items() if name not in ours}


def environment_of(database: TestDatabase) -> dict[str, str]:
    """The settings of a container on this database, each duty with its own login."""
    return {
        "DATABASE_URL": as_secret(database.url("api_login")).get_secret_value(),
        "JOBS_DATABASE_URL": as_secret(database.url("jobs_login")).get_secret_value(),
        "MIGRATION_DATABASE_URL": as_secret(database.url()).get_secret_value(),
        "SECRET_KEY": SECRET,
    }
