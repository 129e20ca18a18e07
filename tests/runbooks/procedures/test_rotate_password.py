"""rotate-password: nobody who writes notices, wherever it is cut off."""

import psycopg2
import pytest
from google.cloud import run_v2
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from runbooks.engine.cloud import options
from runbooks.engine.findings import Result
from runbooks.engine.records import State
from runbooks.procedures.rotate_password import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.rotate_password import REHEARSAL
from runbooks.rehearsal.stage import Stage
from tests.runbooks.procedures.runs import Runs, changes, faults

SERVICE = "projects/rehearsal/locations/us-central1/services/api"
QUICKLY = Asked(login="api", drain_seconds=0, quiet_seconds=0)


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def test_not_one_write_fails_when_it_is_killed_with_the_new_password_in_hand(runs: Runs) -> None:
    REHEARSAL.prepare(runs.stage)
    runs.stage.fault("users.update:slow=2x1")
    # The operation is under way: the service will set a password that nobody knows any more.
    runs.kill("login=api", "drain_seconds=30", "quiet_seconds=0.3", when=lambda: not faults(runs.stage))

    ended = runs.resume()

    assert judged(REHEARSAL, runs.stage, ended) == ""
    url = make_url(runs.stage.tools.secrets.newest(runs.stage.target.logins[0].secret).get_secret_value())
    assert ended.run in runs.written()
    assert str(url.password) not in runs.written()


def test_it_waits_for_sessions_and_goes_on_after_each_failure(runs: Runs) -> None:
    stage, secret = runs.stage, runs.stage.target.logins[0].secret
    old = make_url(stage.tools.secrets.newest(secret).get_secret_value())
    client = run_v2.ServicesClient(**options(stage.endpoints["run"]))
    parent, _, name = SERVICE.rpartition("/services/")
    template = {"containers": [{"image": "api"}]}
    client.create_service(parent=parent, service_id=name, service={"template": template}).result()
    first = client.get_service(name=SERVICE).latest_ready_revision
    with stage.tools.connect(user=old.username, password=SecretStr(str(old.password))) as idle:
        stage.fault("secretmanager.secrets.addVersion:400x1")
        between = runs.begin(QUICKLY, logins=[stage.target.logins[0].model_dump() | {"service": SERVICE}])
        assert (between.records[-1].step, between.records[-1].code) == ("give", "SECRET_UNWRITTEN")
        assert stage.tools.secrets.newest(secret).get_secret_value() == old.render_as_string(hide_password=False)

        waiting = runs.resume()
        assert (waiting.records[-1].step, waiting.records[-1].code) == ("drain", "SESSIONS_REMAIN")
        named = [one.found for one in waiting.records[-1].findings if one.result is Result.FAULT]
        assert [found.split(",")[0] for found in named] == [f"process {idle.info.backend_pid}"]
        assert client.get_service(name=SERVICE).latest_ready_revision != first
        client.transport.close()

    ended = runs.resume()
    assert ended.state is State.DONE
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        stage.tools.connect(user=old.username, password=SecretStr(str(old.password))).__enter__()
    assert len(stage.tools.secrets.versions(secret)) == 1


def test_it_refuses_and_plans_without_a_change_and_rotates_the_operators_own(runs: Runs) -> None:
    stage = runs.stage
    old = stage.tools.secrets.newest(stage.target.operator.secret)
    before = changes(stage)
    assert runs.plan(QUICKLY)["lock-out"] == "holdfast_api_a does not"
    assert "it has operator, api" in runs.begin(Asked(login="spi")).message
    stage.query("REVOKE holdfast_app FROM holdfast_api_b")
    assert "holdfast_api_a and holdfast_api_b have the same rights: no" in runs.begin(QUICKLY).message
    assert changes(stage) == before

    ended = runs.begin(Asked(login="operator"))
    assert ended.state is State.DONE
    assert stage.query("SELECT 1") == [(1,)]
    assert stage.tools.secrets.newest(stage.target.operator.secret).get_secret_value() not in runs.written()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        stage.tools.connect(password=old).__enter__()
