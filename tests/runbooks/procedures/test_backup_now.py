"""backup-now: what was written before it can be had back; what goes wrong with it is told and mended by a resume."""

from pathlib import Path

from runbooks.engine.records import State
from runbooks.procedures.backup_now import PROCEDURE, Asked
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.faults import Case, Failure, Verdict, cases, play
from runbooks.rehearsal.killed import Moment
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.backup_now import REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes

KILLED = Case("backup-now", "take", Moment.WORKED)


def test_the_backup_is_there_and_gives_the_rows_back(stage: Stage) -> None:
    runs = Runs(PROCEDURE, stage)
    before = changes(stage)
    assert runs.plan(Asked()) == {"take": "one more, of now"}
    assert changes(stage) == before

    # It fails once: nothing counts as a backup that is none.
    stage.fault("backupRuns.insert:errorx1")
    failed = runs.begin(REHEARSAL.prepare(stage))
    assert (failed.state, len(failed.records)) == (State.FAILED, 1)
    ended = runs.resume()
    assert judged(REHEARSAL, stage, ended) == ""
    taken = [
        one for one in stage.tools.admin.backup_runs.list(stage.target.instance) if ended.run in (one.description or "")
    ]
    assert sorted(one.status for one in taken) == ["FAILED", "SUCCESSFUL"]
    password = stage.tools.secrets.newest(stage.target.operator.secret).get_secret_value()
    assert password not in runs.written()
    assert all((one.description or "").endswith("before release 42") for one in taken)

    stage.tools.admin.wait(stage.tools.admin.instances.patch(stage.target.instance, activation="NEVER"))
    before = changes(stage)
    refused = runs.begin(Asked())
    assert refused.state is State.REFUSED
    assert "NEVER" in refused.message
    assert changes(stage) == before


def test_one_that_was_taken_is_not_taken_again_by_a_run_that_was_killed(
    base: tuple[Path, Environment], tmp_path: Path
) -> None:
    folder = tmp_path / "stage"
    folder.mkdir()
    outcome = play(KILLED, folder, *base)
    assert (outcome.verdict, outcome.message) == (Verdict.PASSED, "")


def test_every_step_and_call_of_a_rehearsal_is_let_go_wrong() -> None:
    assert list(cases(REHEARSAL)) == [
        Case("backup-now", "take", Moment.BEGUN),
        KILLED,
        Case("backup-now", "take", Failure.AWAY, "backupRuns.insert"),
        Case("backup-now", "take", Failure.OPERATION, "backupRuns.insert"),
    ]
