"""The real commands, as a user types them."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from runbooks.local.folder import StateFolder
from runbooks.local.leftovers import find_leftovers
from runtime.settings import ApiSettings

COMMAND = (sys.executable, "-m", "runbooks.local")
DEADLINE = 60.0


@dataclass(frozen=True)
class Console:
    """A working folder with the platform's state in it."""

    cwd: Path
    workers: int = 1

    @property
    def folder(self) -> StateFolder:
        """Where the state is by default."""
        return StateFolder((self.cwd / ".holdfast").resolve())

    def run(
        self, *arguments: str, file_blocks: int | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, on request with a disk that takes no file of more blocks."""
        limited = ["sh", "-c", f'ulimit -f {file_blocks}; exec "$@"', "sh"] if file_blocks else []
        return subprocess.run(
            [*limited, *COMMAND, *arguments],
            cwd=self.cwd,
            env={**self.environment(), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command that stays in the foreground."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """The tester's, without settings of the platform."""
        names = {name.upper() for name in ApiSettings.model_fields}
        kept = {name: value for name, value in os.environ.items() if name not in names}
        return {**kept, "MAX_WORKERS": str(self.workers)}

    def processes(self) -> Sequence[psutil.Process]:
        """Everything of the platform that runs, its supervisor apart."""
        found = find_leftovers(self.folder)
        return [*found.postgres, *found.others]


def refusal(done: subprocess.CompletedProcess[Any]) -> str:
    """The one line that a refused command leaves."""
    assert done.returncode == 1, done
    assert not done.stdout
    assert done.stderr.startswith("holdfast: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return str(done.stderr).strip()
