"""create-replica where there is none: what is written afterwards is on it."""

import time

from runbooks.engine.records import Ended
from runbooks.procedures.create_replica import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

COUNT = "SELECT count(*) FROM insight_feedback"
WRITE = "INSERT INTO insight_feedback (insight_id, user_id, rating) VALUES ('insight-0', 'after-the-replica', 5)"
SECONDS = 10.0


def prepare(stage: Stage) -> Asked:
    """The instance has no replica."""
    names = stage.tools.admin.instances.get(stage.target.instance).replica_names
    stage.expect("there is no replica", holds=not names, found=names)
    return Asked()


def check(stage: Stage, ended: Ended) -> None:
    """A row that is written on the primary is on the replica, which is in the other region and takes no writes."""
    name = str((ended.records[0].output or {})["name"])
    admin = stage.tools.admin
    primary, replica = admin.instances.get(stage.target.instance), admin.instances.get(name)
    stage.expect("it is in the other region", holds=replica.region == stage.target.dr_region, found=replica.region)
    stage.expect("it is as its primary", holds=replica.settings.tier == primary.settings.tier)
    stage.query(WRITE)
    wanted, deadline = stage.query(COUNT), time.monotonic() + SECONDS
    while (found := stage.query(COUNT, instance=name)) != wanted:
        stage.expect("the row is on the replica", holds=time.monotonic() < deadline, found=found)
    stage.expect("it is a standby", holds=stage.query("SELECT pg_is_in_recovery()", instance=name) == [(True,)])


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
