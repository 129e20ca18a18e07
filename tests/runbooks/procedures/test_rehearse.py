"""`holdfast rehearse` as people use it."""

import json
import signal
import stat
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from runbooks.engine.errors import RunbookError
from runbooks.procedures import PROCEDURES
from runbooks.rehearsal import commands
from runbooks.rehearsal.scenarios import REHEARSALS
from runbooks.rehearsal.serving import serve
from tests.running import PROGRAMS, clean_environment, run
from tests.waiting import wait_until


def test_an_environment_is_served_for_runbooks_until_a_signal_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".holdfast-sandbox" / "target.json"
    holdfast = str(PROGRAMS / "holdfast")
    serving = subprocess.Popen(
        [holdfast, "rehearse", "--serve"], cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: path.exists() or serving.poll() is not None, seconds=60)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        done = run(holdfast, "runbook", "run", "backup-now", "--sandbox", "--yes", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["verdict"] == "done"
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RunbookError, match="is served already"):
            serve(print)
    finally:
        serving.send_signal(signal.SIGINT)
        _, said = serving.communicate(timeout=60)
    assert serving.returncode == 0, said
    assert not path.exists()
    assert "Traceback" not in said


@pytest.mark.parametrize("arguments", [[], ["backup-now", "--all"], ["--all", "--serve"], ["backup-later"]])
def test_what_is_to_be_rehearsed_has_to_be_said(arguments: list[str]) -> None:
    app = typer.Typer()
    commands.register(app)
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, RunbookError)


def test_every_procedure_has_its_rehearsal() -> None:
    assert [one.procedure.name for one in REHEARSALS] == [one.name for one in PROCEDURES]
