"""promote-dr-replica: what was acknowledged is there, nobody is promoted beside a primary that answers."""

import pytest

from runbooks.engine import report
from runbooks.engine.records import State
from runbooks.engine.report import Verdict
from runbooks.procedures.promote_dr_replica import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.promote_dr_replica import REHEARSAL, REPLICA, add_replica
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes, faults
from tests.waiting import wait_until

QUICKLY = Asked(replica=REPLICA, silence_seconds=0.0)


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def test_what_was_acknowledged_is_there_when_it_is_killed_while_it_promotes(runs: Runs) -> None:
    REHEARSAL.prepare(runs.stage)
    runs.stage.fault("instances.promoteReplica:slow=2x1")
    runs.kill(f"replica={REPLICA}", "silence_seconds=0", when=lambda: not faults(runs.stage))

    ended = runs.resume()

    assert judged(REHEARSAL, runs.stage, ended) == ""
    measured = report.document(ended)
    assert 0 < measured["rto_s"] < 60
    assert 0 <= measured["rpo_s"] < 60


def test_beside_a_primary_that_answers_nothing_is_promoted(runs: Runs) -> None:
    stage = runs.stage
    add_replica(stage)
    stage.query("INSERT INTO insight_feedback (insight_id, user_id, rating) VALUES ('one', 'write', 5)")
    wait_until(lambda: stage.query("SELECT 1 FROM insight_feedback WHERE insight_id = 'one'", instance=REPLICA))
    before = changes(stage)
    assert "holdfast does not answer: no, it answers" in runs.begin(QUICKLY).message
    assert "A replica is named: no" in runs.begin(Asked()).message
    forced = QUICKLY.model_copy(update={"force": True, "accept_loss_seconds": 3600.0})
    assert runs.plan(forced)["promote"] == f"{REPLICA}: serves"
    assert "are lost: no" in runs.begin(forced.model_copy(update={"accept_loss_seconds": 0.0})).message
    assert changes(stage) == before

    # The service does not stop a primary whose region is gone.
    stage.accident(network="cut")
    stage.fault("instances.patch:error=INTERNAL_ERRORx1")
    ended = runs.begin(QUICKLY)
    assert ended.state is State.DONE
    assert report.verdict_of(ended) is Verdict.INCOMPLETE
    assert any("--activation-policy=NEVER" in one.action for one in report.open_findings(ended))
    assert stage.query("SELECT pg_is_in_recovery()", instance=REPLICA) == [(False,)]
