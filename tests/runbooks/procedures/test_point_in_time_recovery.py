"""point-in-time-recovery: just the moment comes back, applications read it, and nothing is cut over unasked."""

import datetime as dt

import pytest
from google.cloud import run_v2
from pydantic import SecretStr, ValidationError
from sqlalchemy import make_url

from runbooks.engine.cloud import options
from runbooks.engine.execution import Execution
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Step
from runbooks.engine.records import Ended, State
from runbooks.engine.report import Verdict, findings_of, verdict_of
from runbooks.procedures.point_in_time_recovery import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Confirming, judged
from runbooks.rehearsal.scenarios.point_in_time_recovery import AFTER, BEFORE, EXPERIMENTS, REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes

SERVICE = "projects/rehearsal/locations/us-central1/services/api"
HOUR = dt.timedelta(hours=1)
HOSTILE = "p@ss/w%rd:'\"#?"


class Declining(Confirming):
    """Whoever is asked does not type the name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def confirm(self, step: Step, instance: str) -> bool:  # noqa: ARG002  # the interface
        self.asked.append(step.name)
        return False


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def services(stage: Stage) -> run_v2.ServicesClient:
    return run_v2.ServicesClient(**options(stage.target.endpoints.run))


def make_service(stage: Stage) -> None:
    parent, _, name = SERVICE.rpartition("/services/")
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="example.com/api")])
    services(stage).create_service(parent=parent, service_id=name, service={"template": template}).result()


def clones(stage: Stage) -> list[str | None]:
    return [one.target_id for one in stage.tools.admin.operations.list() if one.operation_type == "CLONE"]


def give_another_password(stage: Stage) -> None:
    """A rotation after the moment: what is recovered has the password of before."""
    secret = stage.target.logins[0].secret
    url = make_url(stage.tools.secrets.newest(secret).get_secret_value())
    admin = stage.tools.admin
    admin.wait(admin.users.update(stage.target.instance, str(url.username), password=SecretStr(HOSTILE)))
    stage.tools.secrets.add(secret, SecretStr(url.set(password=HOSTILE).render_as_string(hide_password=False)))


def test_the_moment_comes_back_and_the_application_reads_it(runs: Runs) -> None:
    stage = runs.stage
    make_service(stage)
    first = services(stage).get_service(name=SERVICE).latest_ready_revision
    inputs = REHEARSAL.prepare(stage)
    give_another_password(stage)

    stage.fault("run.services.patch:403x1")
    failed = runs.begin(inputs, logins=[stage.target.logins[0].model_dump() | {"service": SERVICE}])
    assert (failed.records[-1].step, failed.records[-1].code) == ("cut-over", "SERVICE_NOT_ROLLED")
    written = changes(stage)
    ended = runs.resume()

    # What the first try wrote is not written again: jobs and the service have one pointer.
    assert changes(stage) == written
    assert len(stage.tools.secrets.versions(stage.target.services[0].secret)) == 2
    assert judged(REHEARSAL, stage, ended) == ""
    rolled = services(stage).get_service(name=SERVICE).latest_ready_revision
    assert rolled != first
    found = "\n".join(one.found for one in findings_of(ended))
    assert rolled.rpartition("/")[2] in found
    [name] = clones(stage)
    assert any(f"database.instance {name}" in line for line in ended.left_to_do)
    assert stage.tools.admin.instances.get(stage.target.instance).state == "RUNNABLE"
    measured = [record.measures.rto_seconds for record in ended.records if record.measures.rto_seconds]
    assert 0 < measured[0] <= measured[-1] < 60
    assert HOSTILE not in runs.written()


def test_it_refuses_and_plans_without_a_change(runs: Runs) -> None:
    stage = runs.stage
    now = dt.datetime.now(dt.UTC)
    before, rows = changes(stage), stage.query(EXPERIMENTS)
    with pytest.raises(ValidationError, match=r"has no time zone; write it with one, as 2026-11-20T14:03:00Z"):
        Asked.model_validate({"moment": "2026-11-20T14:03:00"})
    with pytest.raises(ValidationError, match="name"):
        Asked(moment=now, name="Not-a-name")

    for moment in (now - HOUR, now + HOUR):
        refused = runs.begin(Asked(moment=moment))
        assert refused.state is State.REFUSED
        assert "is within the recovery window: no, the window is from 20" in refused.message
    assert "choose another one: name=" in runs.begin(Asked(moment=now, name="holdfast")).message

    plan = runs.plan(Asked(moment=now, name="holdfast-before"))
    assert plan["clone"].startswith("one with the data of 20")
    [sent] = [change for step, change in runs.execution(Asked(moment=now)).plan() if step.name == "cut-over"]
    assert "server (projects/rehearsal/secrets/holdfast-instance, projects/rehearsal/locations/" in sent.before
    assert "cut-over" not in runs.plan(Asked(moment=now, cut_over=False))
    assert (changes(stage), stage.query(EXPERIMENTS)) == (before, rows)
    assert runs.journal.entries() == []


def test_failed_and_killed_clones_go_on_and_nobody_is_sent_unasked_or_untested(runs: Runs) -> None:
    stage = runs.stage
    inputs = REHEARSAL.prepare(stage)
    secret = stage.target.logins[0].secret
    versions = stage.tools.secrets.versions(secret)
    declining = Declining()

    stage.fault("instances.clone:error=INTERNAL_ERRORx1")
    failed = runs.begin(inputs)
    assert (failed.records[-1].step, failed.records[-1].code) == ("clone", "INTERNAL_ERROR")
    # Without it, nothing shows that what came after was left out.
    mark(stage, "DELETE FROM recovery_markers WHERE written_at > %s", inputs.moment)
    declined = _resumed(runs, declining)
    assert (declined.state, declining.asked) == (State.DECLINED, ["cut-over"])
    assert [one.result for one in findings_of(declined) if "could be made" in one.test] == [Result.MENDED]
    own = runs.newest.id.rpartition("-")[2]
    assert clones(stage) == [f"holdfast-pitr-{own}-2", f"holdfast-pitr-{own}"]
    untested = runs.resume()
    assert (untested.state, untested.records[-1].code) == (State.FAILED, "UNVERIFIED")
    assert "begin anew with accept_unknown=yes" in untested.message

    mark(stage, "INSERT INTO recovery_markers DEFAULT VALUES")
    moment = inputs.moment.isoformat()
    runs.kill(f"moment={moment}", "name=second", "cut_over=no", when=lambda: "second" in clones(stage))
    ended = _resumed(runs, declining)
    assert (verdict_of(ended), declining.asked) == (Verdict.DONE, ["cut-over"])
    assert clones(stage).count("second") == 1
    there = [row[0] for row in stage.query(EXPERIMENTS, instance="second")]
    assert (BEFORE in there, AFTER in there) == (True, False)
    assert stage.tools.secrets.versions(secret) == versions


def mark(stage: Stage, statement: str, *parameters: object) -> None:
    with stage.tools.connect() as opened, opened.cursor() as cursor:
        cursor.execute(statement, parameters)


def _resumed(runs: Runs, observer: Confirming) -> Ended:
    entry = runs.newest
    inputs = PROCEDURE.inputs.model_validate(entry.document["inputs"])
    return Execution(PROCEDURE, runs.stage.target, inputs, runs.journal, observer).resume(entry)
