"""dr-drill: production serves on and is as before, whatever happens to the drill."""

import pytest

from runbooks.engine import report
from runbooks.engine.records import State
from runbooks.engine.report import Verdict
from runbooks.procedures.dr_drill import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.dr_drill import REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def test_production_is_as_before_although_the_drill_failed_at_first(runs: Runs) -> None:
    before = changes(runs.stage)
    assert "throwaway" in runs.plan(Asked())["make"]
    assert "is another one: no" in runs.begin(Asked(region="us-central1")).message
    assert changes(runs.stage) == before

    inputs = REHEARSAL.prepare(runs.stage)
    runs.stage.fault("instances.promoteReplica:error=INTERNAL_ERRORx1")
    failed = runs.begin(inputs)
    assert (failed.records[-1].step, failed.records[-1].code) == ("promote", "INTERNAL_ERROR")

    assert judged(REHEARSAL, runs.stage, runs.resume()) == ""


def test_an_objective_that_is_missed_is_a_fault(runs: Runs) -> None:
    runs.stage.fault("instances.insert:error=INTERNAL_ERRORx1")
    assert runs.begin(Asked(), objectives={"rto_seconds": 0.000001, "rpo_seconds": 60}).state is State.FAILED

    ended = runs.resume()
    assert report.verdict_of(ended) is Verdict.FAULTS
    assert [one.test for one in report.open_findings(ended)] == ["The RTO is at most 1e-06 s"]
    assert [one.name for one in runs.stage.tools.admin.instances.list()] == ["holdfast"]
