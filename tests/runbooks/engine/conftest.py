"""A folder that toys change, an environment that nobody asks, and the console with the toys in it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from runbooks import procedures
from runbooks.console import commands
from runbooks.engine.execution import Execution
from runbooks.engine.findings import Finding
from runbooks.engine.journal import Journal
from runbooks.engine.procedure import Procedure, Step
from runbooks.engine.records import Ended, Record
from tests.runbooks.engine import toys
from tests.running import clean_environment

DEADLINE = 60.0


@dataclass
class Hearing:
    """An observer that keeps what it hears, and answers as it is told."""

    answer: bool = True
    heard: list[str] = field(default_factory=list)

    def began(self, step: Step, number: int, total: int) -> None:
        self.heard.append(f"{number}/{total} {step.name}")

    def progress(self, text: str) -> None:
        self.heard.append(text)

    def finding(self, finding: Finding) -> None:
        self.heard.append(finding.test)

    def ended(self, record: Record) -> None:
        self.heard.append(f"{record.step} {record.state}")

    def confirm(self, step: Step, instance: str) -> bool:
        self.heard.append(f"may {step.name} destroy {instance}?")
        return self.answer


@dataclass(frozen=True)
class World:
    """What toys change, and how they are run."""

    folder: Path

    @property
    def journal(self) -> Journal:
        return Journal(self.folder / "state")

    @property
    def trace(self) -> list[str]:
        """What was done, in order."""
        path = self.folder / "trace"
        return path.read_text().split() if path.exists() else []

    def order(self, name: str, what: str) -> None:
        (self.folder / name).write_text(what)

    def execution(self, procedure: Procedure, observer: Hearing | None = None, **of_target: str) -> Execution:
        inputs = toys.Asked(world=self.folder)
        return Execution(procedure, toys.target(**of_target), inputs, self.journal, observer or Hearing())

    def resume(self, procedure: Procedure, observer: Hearing | None = None) -> Ended:
        """Go on with the newest run."""
        return self.execution(procedure, observer).resume(self.journal.entries()[0])

    def command(self, *arguments: str) -> list[str]:
        """The real console, which knows the toys."""
        return [sys.executable, "-P", "-m", "tests.runbooks.engine.toys", "runbook", *arguments]

    def options(self, *more: str) -> list[str]:
        """What toys are run with."""
        path = self.folder / "target.json"
        path.write_text(toys.target().model_dump_json())
        return ["--target", str(path), "--state", str(self.folder / "state"), *more]

    def start(self, *arguments: str, file_blocks: int | None = None) -> subprocess.Popen[str]:
        """Begin a command in a process of its own, on request with a disk that takes no file of more blocks."""
        limited = ["sh", "-c", f'ulimit -f {file_blocks}; exec "$@"', "sh"] if file_blocks else []
        return subprocess.Popen(
            [*limited, *self.command(*arguments)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, file_blocks: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end in a process of its own."""
        process = self.start(*arguments, file_blocks=file_blocks)
        out, err = process.communicate(timeout=DEADLINE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def asked(self) -> str:
        return f"world={self.folder}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass(frozen=True)
class Said:
    """How a command of the console ended in this process."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> object:
        return json.loads(self.out)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Runs the console in this process, with the toys in it."""
    every = (*procedures.PROCEDURES, *toys.TOYS)
    monkeypatch.setattr(procedures, "PROCEDURES", every)
    monkeypatch.setattr(commands, "PROCEDURES", every)
    app = typer.Typer()
    commands.register(app)
    app.callback()(lambda: None)

    def invoke(*arguments: str) -> Said:
        done = CliRunner().invoke(app, ["runbook", *arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    return invoke
