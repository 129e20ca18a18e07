"""Cloud Run, driven by Google's own client; a job's execution really runs the runtime."""

import base64
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from googleapiclient.errors import HttpError

from runbooks.local.ports import HOST, free_port
from runbooks.local.processes import Identity
from runbooks.sandbox.services import run as cloud_run
from runbooks.sandbox.services.calls import Call
from runbooks.sandbox.services.secret_manager import SecretManager
from runbooks.sandbox.store import Store
from tests.conftest import SECRET, TestDatabase, as_secret
from tests.runbooks.sandbox.services.google_services import LOCATION, client, operation_done, serving
from tests.waiting import wait_until

JOB = f"{LOCATION}/jobs/partitions"
SERVICE = f"{LOCATION}/services/api"
IMAGE = "europe-west1-docker.pkg.dev/holdfast/images/runtime@sha256:0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("executions")


@pytest.fixture(scope="module")
def location(store: Store, folder: Path) -> Iterator[Any]:
    with serving(cloud_run.app(store, folder)) as url:
        yield client("run.v2", url).projects().locations()


@pytest.fixture
def jobs(location: Any) -> Iterator[Any]:
    yield location.jobs()
    for job in location.jobs().list(parent=LOCATION).execute().get("jobs", []):
        location.jobs().delete(name=job["name"]).execute()


@pytest.fixture
def services(location: Any) -> Iterator[Any]:
    yield location.services()
    for service in location.services().list(parent=LOCATION).execute().get("services", []):
        location.services().delete(name=service["name"]).execute()


def make_job(jobs: Any, *arguments: str, env: list[dict[str, Any]] | None = None, **task: Any) -> None:
    container = {"image": IMAGE, "args": list(arguments), "env": env or []}
    outer = {key: task.pop(key) for key in ("taskCount", "parallelism") if key in task}
    template = {"template": {"containers": [container], "maxRetries": 0, **task}, **outer}
    made = jobs.create(parent=LOCATION, jobId="partitions", body={"template": template}).execute()
    assert made["done"]
    assert made["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def variables(**values: str) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def settings_of(database: TestDatabase) -> list[dict[str, Any]]:
    url = as_secret(database.url("jobs_login")).get_secret_value()
    return variables(JOBS_DATABASE_URL=url, DATABASE_URL=url, SECRET_KEY=SECRET)


def finished(location: Any, operation: dict[str, Any]) -> dict[str, Any]:
    return operation_done(lambda name: location.operations().get(name=name), operation)


def log_of(execution: dict[str, Any], task: int = 0) -> str:
    return (Path(urlsplit(execution["logUri"]).path) / f"task-{task}.log").read_text()


def execution_of(location: Any, operation: dict[str, Any]) -> dict[str, Any]:
    return location.jobs().executions().get(name=operation["metadata"]["name"]).execute()


def test_an_execution_runs_the_runtime_on_a_real_database(location: Any, jobs: Any, database: TestDatabase) -> None:
    make_job(jobs, "partitions", env=settings_of(database))
    begun = jobs.run(name=JOB, body={}).execute()
    assert not begun["done"]
    done = finished(location, begun)
    execution = done["response"]
    assert (execution["succeededCount"], execution["taskCount"]) == (1, 1)
    assert execution["conditions"][0]["state"] == "CONDITION_SUCCEEDED"
    assert execution["startTime"] <= execution["completionTime"]
    assert "partition" in log_of(execution)
    job = jobs.get(name=JOB).execute()
    assert job["executionCount"] == 1
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"
    (task,) = jobs.executions().tasks().list(parent=execution["name"]).execute()["tasks"]
    assert task["lastAttemptResult"] == {"exitCode": 0}


def test_a_run_has_its_own_arguments_environment_and_deadline(location: Any, jobs: Any, database: TestDatabase) -> None:
    make_job(jobs, "no-such-command", env=[*settings_of(database), *variables(LOG_LEVEL="nonsense")])
    overrides = {
        "containerOverrides": [{"args": ["forget-idempotency-keys"], "env": variables(LOG_LEVEL="INFO")}],
        "timeout": "60s",
    }
    done = finished(location, jobs.run(name=JOB, body={"overrides": overrides}).execute())
    assert "error" not in done
    template = done["response"]["template"]
    assert template["containers"][0]["args"] == ["forget-idempotency-keys"]
    assert template["timeout"] == "60s"
    assert jobs.get(name=JOB).execute()["template"]["template"]["containers"][0]["args"] == ["no-such-command"]


def test_a_failed_task_is_tried_again_and_sees_nothing_of_this_processs_environment(
    location: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://leaked@127.0.0.1/leaked")
    make_job(jobs, "partitions", maxRetries=1)
    done = finished(location, jobs.run(name=JOB, body={}).execute())
    assert "The container exited with an error." in done["error"]["message"]
    execution = done["metadata"]
    assert (execution["failedCount"], execution["retriedCount"]) == (1, 1)
    assert execution["conditions"][0]["executionReason"] == "NON_ZERO_EXIT_CODE"
    (task,) = jobs.executions().tasks().list(parent=execution["name"]).execute()["tasks"]
    assert task["lastAttemptResult"]["exitCode"] == 1
    assert log_of(execution).count("holdfast: DATABASE_URL: not set") == 2


def test_a_secret_reaches_the_environment_or_the_execution_fails(
    location: Any, jobs: Any, store: Store, database: TestDatabase
) -> None:
    url = as_secret(database.url("jobs_login")).get_secret_value()
    reference = {"valueSource": {"secretKeyRef": {"secret": "jobs-database-url", "version": "latest"}}}
    env = [
        *variables(DATABASE_URL=url, SECRET_KEY=SECRET),
        {"name": "JOBS_DATABASE_URL", **reference},
    ]
    make_job(jobs, "partitions", env=env)
    failed = finished(location, jobs.run(name=JOB, body={}).execute())
    assert "jobs-database-url] not found" in failed["error"]["message"]
    assert failed["metadata"]["conditions"][0]["reason"] == "SECRETS_ACCESS_CHECK_FAILED"

    add_secret(store, url)
    assert "error" not in finished(location, jobs.run(name=JOB, body={}).execute())


@pytest.mark.parametrize(
    "override",
    [
        {"env": [{"name": "A", "valueSource": {}}]},
        {"env": [{"name": "CLOUD_RUN_JOB", "value": "x"}]},
        {"args": ["a\0b"]},
        {"name": "another"},
    ],
    ids=str,
)
def test_a_wrong_override_begins_nothing(jobs: Any, override: dict[str, Any]) -> None:
    make_job(jobs, "partitions")
    with pytest.raises(HttpError) as refused:
        jobs.run(name=JOB, body={"overrides": {"containerOverrides": [override]}}).execute()
    assert refused.value.status_code == 400
    assert jobs.executions().list(parent=JOB).execute() == {}


def add_secret(store: Store, value: str) -> None:
    vault = SecretManager(store)
    secret = {"secretId": "jobs-database-url"}
    vault.create(Call("", "projects/holdfast", secret, {"replication": {"automatic": {}}}))
    payload = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
    vault.add_version(Call("", "projects/holdfast/secrets/jobs-database-url", {}, payload))


def endless(database: TestDatabase) -> list[dict[str, Any]]:
    """The environment of an API, which serves until it is ended."""
    url = as_secret(database.url("api_login")).get_secret_value()
    return variables(
        DATABASE_URL=url, SECRET_KEY=SECRET, LOG_LEVEL="INFO", API_HOST=HOST, API_PORT=str(free_port()), MAX_WORKERS="1"
    )


def process_of(store: Store, operation: dict[str, Any]) -> psutil.Process:
    """The one process of an execution that began."""

    def look() -> psutil.Process | None:
        kept = store.get("run.processes", operation["metadata"]["name"])
        return psutil.Process(kept["processes"][0]["pid"]) if kept and kept["processes"] else None

    return wait_until(look)


def test_an_execution_under_way_is_cancelled(location: Any, jobs: Any, store: Store, database: TestDatabase) -> None:
    make_job(jobs, "serve", env=endless(database), maxRetries=3)
    begun = jobs.run(name=JOB, body={}).execute()
    process = process_of(store, begun)
    with pytest.raises(HttpError) as refused:
        jobs.delete(name=JOB).execute()
    assert refused.value.status_code == 400
    running = execution_of(location, begun)
    assert (running["runningCount"], running["conditions"][0]["state"]) == (1, "CONDITION_RECONCILING")
    cancelled = jobs.executions().cancel(name=running["name"], body={}).execute()
    assert finished(location, cancelled)["response"]["cancelledCount"] == 1
    assert not process.is_running()
    done = location.operations().wait(name=begun["name"], body={"timeout": "10s"}).execute()
    assert done["error"]["code"] == 1
    ended = execution_of(location, begun)
    assert ended["conditions"][0]["executionReason"] == "CANCELLED"
    # It ended because it was told to, not because it could not serve.
    (task,) = jobs.executions().tasks().list(parent=ended["name"]).execute()["tasks"]
    assert task["lastAttemptResult"]["exitCode"] in (0, 128 + signal.SIGTERM)
    with pytest.raises(HttpError):
        jobs.executions().cancel(name=running["name"], body={}).execute()


def test_a_task_is_ended_at_its_deadline(location: Any, jobs: Any, store: Store, database: TestDatabase) -> None:
    make_job(jobs, "serve", env=endless(database), timeout="0.5s")
    begun = jobs.run(name=JOB, body={}).execute()
    process = process_of(store, begun)
    waited = location.operations().wait(name=begun["name"], body={"timeout": "0s"}).execute()
    assert not waited["done"]
    done = finished(location, begun)
    assert "The configured timeout was reached." in done["error"]["message"]
    assert not process.is_running()


def test_every_task_runs_with_its_index(location: Any, jobs: Any) -> None:
    make_job(jobs, "--help", taskCount=2, parallelism=2)
    execution = finished(location, jobs.run(name=JOB, body={}).execute())["response"]
    assert execution["succeededCount"] == 2
    tasks = jobs.executions().tasks().list(parent=execution["name"]).execute()["tasks"]
    assert sorted(task.get("index", 0) for task in tasks) == [0, 1]
    assert all("Holdfast" in log_of(execution, index) for index in range(2))


def test_what_a_killed_sandbox_left_is_ended_and_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.db")
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        identity = Identity.of(left.pid).model_dump()
        name = f"{JOB}/executions/partitions-abcde"
        store.put("run.processes", name, {"name": name, "processes": [identity]})
        store.put("run.execution", name, {"name": name, "job": "partitions", "runningCount": 1})
        operation = {"name": f"{LOCATION}/operations/x", "metadata": {}, "done": False}
        store.put("run.operation", operation["name"], operation)
        with serving(cloud_run.app(store, tmp_path)) as url:
            again = client("run.v2", url).projects().locations()
            assert left.wait(5) == -signal.SIGTERM
            execution = again.jobs().executions().get(name=name).execute()
            assert execution["conditions"][0]["state"] == "CONDITION_FAILED"
            assert again.operations().get(name=operation["name"]).execute()["error"]["code"] == 14
    finally:
        left.kill()
        left.wait()
        store.close()


def test_a_command_that_is_not_the_runtimes_is_refused_by_name(jobs: Any) -> None:
    container = {"image": IMAGE, "command": ["sh", "-c", "true"]}
    template = {"template": {"template": {"containers": [container]}}}
    jobs.create(parent=LOCATION, jobId="partitions", body=template).execute()
    with pytest.raises(HttpError) as refused:
        jobs.run(name=JOB, body={}).execute()
    assert refused.value.status_code == 501
    assert "sh -c true" in refused.value.reason
    assert "executionCount" not in jobs.get(name=JOB).execute()


def test_an_etag_protects_a_job(jobs: Any) -> None:
    make_job(jobs, "partitions")
    job = jobs.get(name=JOB).execute()
    changed = jobs.patch(name=JOB, body=job).execute()["response"]
    assert changed["generation"] == "2"
    with pytest.raises(HttpError) as refused:
        jobs.patch(name=JOB, body=job).execute()
    assert refused.value.status_code == 409


def job_body(*arguments: str, env: list[dict[str, Any]] | None = None, **tokens: str) -> dict[str, Any]:
    container = {"image": IMAGE, "args": list(arguments), "env": env or []}
    return {"template": {"template": {"containers": [container], "maxRetries": 0}}, **tokens}


def test_a_job_with_a_run_token_is_ready_when_its_execution_has_succeeded(location: Any, jobs: Any) -> None:
    body = job_body("--help", runExecutionToken="one")
    begun = jobs.create(parent=LOCATION, jobId="partitions", body=body).execute()
    assert not begun["done"]
    assert begun["metadata"]["terminalCondition"]["state"] == "CONDITION_RECONCILING"
    job = finished(location, begun)["response"]
    assert job["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert job["latestCreatedExecution"]["name"] == "partitions-one"
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"
    assert jobs.get(name=JOB).execute()["runExecutionToken"] == "one"
    # Another execution is not what the token made.
    finished(location, jobs.run(name=JOB, body={}).execute())
    assert "runExecutionToken" not in jobs.get(name=JOB).execute()


def test_a_job_whose_execution_fails_is_an_error_and_is_not_ready(location: Any, jobs: Any) -> None:
    make_job(jobs, "--help")
    # It has no database.
    begun = jobs.patch(name=JOB, body=job_body("partitions", runExecutionToken="two")).execute()
    assert "The container exited with an error." in finished(location, begun)["error"]["message"]
    job = jobs.get(name=JOB).execute()
    assert job["terminalCondition"]["state"] == "CONDITION_FAILED"
    assert job["latestCreatedExecution"]["completionStatus"] == "EXECUTION_FAILED"
    mended = jobs.patch(name=JOB, body=job_body("--help", runExecutionToken="three")).execute()
    assert finished(location, mended)["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_a_token_that_cannot_be_changes_nothing(location: Any, jobs: Any) -> None:
    first = job_body("--help", runExecutionToken="one")
    finished(location, jobs.create(parent=LOCATION, jobId="partitions", body=first).execute())
    before = jobs.get(name=JOB).execute()
    for tokens, code in (
        ({"runExecutionToken": "one"}, 409),
        ({"runExecutionToken": "a", "startExecutionToken": "b"}, 400),
        ({"startExecutionToken": "a" * 53}, 400),
        ({"runExecutionToken": "A_b"}, 400),
    ):
        with pytest.raises(HttpError) as refused:
            jobs.patch(name=JOB, body=job_body("partitions", **tokens)).execute()
        assert refused.value.status_code == code
    assert jobs.get(name=JOB).execute() == before


def test_a_job_with_a_start_token_is_ready_when_its_execution_has_started(
    location: Any, jobs: Any, database: TestDatabase
) -> None:
    body = job_body("serve", env=endless(database), startExecutionToken="now")
    done = finished(location, jobs.create(parent=LOCATION, jobId="partitions", body=body).execute())
    assert done["response"]["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    execution = f"{JOB}/executions/partitions-now"
    assert "completionTime" not in jobs.executions().get(name=execution).execute()
    finished(location, jobs.executions().cancel(name=execution, body={}).execute())


def make_service(services: Any, image: str = IMAGE, **others: Any) -> dict[str, Any]:
    body = {"template": {"containers": [{"image": image}], "revision": "api-first"}, **others}
    return services.create(parent=LOCATION, serviceId="api", body=body).execute()["response"]


def shares(service: dict[str, Any]) -> dict[str, int]:
    return {status["revision"]: status["percent"] for status in service["trafficStatuses"]}


def test_a_release_is_split_rolled_out_and_rolled_back(services: Any) -> None:
    assert shares(make_service(services)) == {"api-first": 100}
    service = services.get(name=SERVICE).execute()
    service["template"] = {"containers": [{"image": f"{IMAGE}1"}], "revision": "api-second"}
    latest = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 10, "tag": "canary"}
    first = {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "api-first", "percent": 90}
    service["traffic"] = [latest, first]
    split = services.patch(name=SERVICE, body=service).execute()["response"]
    assert shares(split) == {"api-second": 10, "api-first": 90}
    assert split["trafficStatuses"][0]["uri"].startswith("https://canary---")

    back = services.patch(name=SERVICE, updateMask="traffic", body={"traffic": [{**first, "percent": 100}]}).execute()
    assert shares(back["response"]) == {"api-first": 100}
    assert back["response"]["latestCreatedRevision"].endswith("/api-second")
    revisions = services.revisions().list(parent=SERVICE).execute()["revisions"]
    assert [revision["name"].rpartition("/")[2] for revision in revisions] == ["api-second", "api-first"]
    with pytest.raises(HttpError) as refused:
        services.revisions().delete(name=f"{SERVICE}/revisions/api-first").execute()
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    "traffic",
    [
        [{"percent": 99}],
        [{"revision": "api-none", "percent": 100}],
        [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "percent": 100}],
    ],
)
def test_a_wrong_split_changes_nothing(services: Any, traffic: list[dict[str, Any]]) -> None:
    made = make_service(services)
    body = {"template": {"containers": [{"image": "other"}]}, "traffic": traffic}
    with pytest.raises(HttpError) as refused:
        services.patch(name=SERVICE, body=body).execute()
    assert refused.value.status_code == 400
    after = services.get(name=SERVICE).execute()
    assert {"@type": made["@type"], **after} == made
    assert len(services.revisions().list(parent=SERVICE).execute()["revisions"]) == 1


def test_a_revisions_name_is_taken_once(services: Any) -> None:
    make_service(services)
    body = {"template": {"containers": [{"image": "other"}], "revision": "api-first"}}
    with pytest.raises(HttpError) as refused:
        services.patch(name=SERVICE, body=body).execute()
    assert refused.value.status_code == 409


def test_a_revision_that_is_there_is_asked_for_again(services: Any) -> None:
    first = make_service(services)
    other = {"template": {"containers": [{"image": "other"}], "revision": "api-second"}}
    services.patch(name=SERVICE, body=other).execute()
    back = services.patch(name=SERVICE, body={"template": first["template"]}).execute()["response"]
    assert shares(back) == {"api-first": 100}
    assert len(services.revisions().list(parent=SERVICE).execute()["revisions"]) == 2


def test_resources_survive_a_restart(tmp_path: Path) -> None:
    for boot in range(2):
        store = Store(tmp_path / "kept.db")
        with serving(cloud_run.app(store, tmp_path)) as url:
            again = client("run.v2", url).projects().locations()
            if not boot:
                make_service(again.services())
                make_job(again.jobs(), "partitions")
            assert again.services().get(name=SERVICE).execute()["latestReadyRevision"].endswith("api-first")
            assert again.jobs().get(name=JOB).execute()["generation"] == "1"
        store.close()
