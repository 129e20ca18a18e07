"""create-replica: it follows, it is made once, and a failure is told."""

import pytest

from runbooks.engine.records import State
from runbooks.procedures.create_replica import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.create_replica import REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def test_a_replica_follows_and_is_made_once(runs: Runs) -> None:
    assert judged(REHEARSAL, runs.stage, runs.begin(REHEARSAL.prepare(runs.stage))) == ""

    again = runs.begin(Asked())

    assert again.state is State.DONE
    primary = runs.stage.tools.admin.instances.get("holdfast")
    assert primary.replica_names == ("holdfast-us-east1",)


def test_it_refuses_and_plans_without_a_change_and_tells_a_failure(runs: Runs) -> None:
    before = changes(runs.stage)
    assert runs.plan(Asked())["make"] == "holdfast-us-east1 in us-east1 besides, db-custom-1-3840"
    assert "say another name" in runs.begin(Asked(name="holdfast")).message
    assert "say region=" in runs.begin(Asked(), dr_region=None).message
    assert changes(runs.stage) == before

    runs.stage.fault("instances.insert:error=ZONE_RESOURCE_POOL_EXHAUSTEDx1")
    failed = runs.begin(Asked())
    assert (failed.records[-1].step, failed.records[-1].code) == ("make", "ZONE_RESOURCE_POOL_EXHAUSTED")
    assert runs.resume().state is State.DONE
    assert runs.stage.tools.admin.instances.get("holdfast").replica_names == ("holdfast-us-east1-2",)
