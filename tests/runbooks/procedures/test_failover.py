"""failover: nothing acknowledged is lost, it happens once, and without a standby it is refused."""

import pytest

from runbooks.engine.records import State
from runbooks.engine.report import Verdict, findings_of, verdict_of
from runbooks.procedures.failover import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.failover import REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes

MARKERS = "SELECT count(*) FROM recovery_markers"


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def failovers(stage: Stage) -> int:
    found = stage.tools.admin.operations.list("holdfast")
    return sum(one.operation_type == "FAILOVER" and not one.error for one in found)


def test_nothing_acknowledged_is_lost_and_a_failed_or_killed_failover_happens_once(runs: Runs) -> None:
    stage = runs.stage
    inputs = REHEARSAL.prepare(stage)
    stage.fault("instances.failover:error=INTERNAL_ERRORx1")
    failed = runs.begin(inputs)
    assert failed.state is State.FAILED
    assert failed.records[-1].step == "fail-over"
    ended = runs.resume()
    assert judged(REHEARSAL, stage, ended) == ""
    assert failovers(stage) == 1
    measures = next(record.measures for record in ended.records if record.step == "fail-over")
    assert measures.rto_seconds is not None
    assert 0 < measures.rto_seconds < 30

    runs.kill(when=lambda: failovers(stage) > 1)
    killed = runs.resume()
    # Nobody saw how long it took.
    assert verdict_of(killed) is Verdict.INCOMPLETE, killed.message
    assert failovers(stage) == 2
    assert stage.tools.admin.instances.get("holdfast").gce_zone == "us-central1-a"


def test_without_a_standby_it_refuses_and_plans_without_a_change(runs: Runs) -> None:
    stage = runs.stage
    before, markers = changes(stage), stage.query(MARKERS)
    plan = runs.plan(Asked())
    assert plan["fail-over"].startswith("from us-central1-b; connections are dropped")
    assert (changes(stage), stage.query(MARKERS)) == (before, markers)

    admin = stage.tools.admin
    admin.wait(admin.instances.patch("holdfast", availability="ZONAL"))
    before = changes(stage)
    refused = runs.begin(Asked())
    assert refused.state is State.REFUSED
    [finding] = [one for one in findings_of(refused) if one.test == "holdfast is REGIONAL"]
    assert finding.found == "ZONAL"
    assert "gcloud sql instances patch holdfast --availability-type=REGIONAL" in finding.action
    assert "point-in-time-recovery" in finding.action
    assert (changes(stage), stage.query(MARKERS)) == (before, markers)
    assert runs.journal.entries() == []
