"""Cloud Scheduler, driven by Google's own client; its requests are really sent, to this machine only."""

import base64
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from googleapiclient.errors import HttpError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runbooks.local.ports import HOST, free_port
from runbooks.sandbox.services import scheduler
from runbooks.sandbox.services.issuer import Issuer
from runbooks.sandbox.store import Store
from runtime.api.app import create_app
from tests.conftest import TestDatabase
from tests.runbooks.sandbox.services.google_services import LOCATION, client, serving
from tests.runtime.api.world import EXPERIMENTS
from tests.waiting import wait_until

ROBOT = "scheduler@holdfast.iam.gserviceaccount.com"
AUDIENCE = "https://api.holdfast.test"
ELSEWHERE = "http://169.254.169.254/computeMetadata/v1/"


@pytest.fixture(scope="module")
def issuer(store: Store) -> Iterator[Issuer]:
    port = free_port()
    made = Issuer(store, f"http://{HOST}:{port}")
    with serving(made.app(), port=port):
        yield made


@pytest.fixture(scope="module")
def served(store: Store, issuer: Issuer) -> Iterator[Any]:
    with serving(scheduler.app(store, issuer)) as url:
        yield client("cloudscheduler.v1", url).projects().locations().jobs()


@pytest.fixture
def jobs(served: Any) -> Iterator[Any]:
    yield served
    for job in served.list(parent=LOCATION).execute().get("jobs", []):
        served.delete(name=job["name"]).execute()


class Target:
    """What a target was sent, and what it answers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers = [200]

    async def answer(self, request: Request) -> Response:
        self.seen.append((request.method, dict(request.headers), await request.body()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"Location": ELSEWHERE} if status == 307 else {}
        return Response(status_code=status, headers=headers)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST", "PUT", "DELETE"])])


@pytest.fixture
def target() -> Iterator[tuple[Target, str]]:
    made = Target()
    with serving(made.app()) as url:
        yield made, url


def make(jobs: Any, uri: str, **others: Any) -> str:
    http = {"uri": uri, "httpMethod": "GET", **others.pop("http", {})}
    body = {
        "name": f"{LOCATION}/jobs/nightly",
        "schedule": "*/5 0-6 1,15 JAN-MAR mon-fri",
        "httpTarget": http,
        **others,
    }
    return jobs.create(parent=LOCATION, body=body).execute()["name"]


def run(jobs: Any, name: str) -> dict[str, Any]:
    """The job when the attempts are over."""
    jobs.run(name=name, body={}).execute()
    return wait_until(lambda: job if "status" in (job := job_of(jobs, name)) else None)


def job_of(jobs: Any, name: str) -> dict[str, Any]:
    return jobs.get(name=name).execute()


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as refused:
        call.execute()
    return refused.value.status_code, refused.value.reason


def test_the_runtimes_guard_lets_a_job_in_by_its_token(jobs: Any, issuer: Issuer, database: TestDatabase) -> None:
    provider = {"issuer": issuer.url, "audience": AUDIENCE, "emails": {ROBOT: ["ard:read"]}}
    with serving(create_app(database.settings(db_pool_min=1, log_level="ERROR", oidc_providers=[provider]))) as api:
        token = {"serviceAccountEmail": ROBOT, "audience": AUDIENCE}
        name = make(jobs, f"{api}{EXPERIMENTS}", http={"oidcToken": token})
        done = run(jobs, name)
        assert done["status"] == {}
        assert done["lastAttemptTime"] > done["userUpdateTime"]

        for wrong, code in (
            ({"serviceAccountEmail": ROBOT, "audience": "https://other.test"}, 16),
            ({"serviceAccountEmail": "stranger@holdfast.iam.gserviceaccount.com", "audience": AUDIENCE}, 7),
        ):
            changed = {"httpTarget": {"uri": f"{api}{EXPERIMENTS}", "httpMethod": "GET", "oidcToken": wrong}}
            jobs.patch(name=name, updateMask="httpTarget", body=changed).execute()
            assert run(jobs, name)["status"]["code"] == code


def test_a_token_outlives_the_sandbox(store: Store, issuer: Issuer) -> None:
    first = issuer._key().public_key().public_numbers()
    assert Issuer(store, issuer.url)._key().public_key().public_numbers() == first


def test_the_request_is_the_jobs(jobs: Any, target: tuple[Target, str]) -> None:
    seen, url = target
    http = {
        "httpMethod": "POST",
        "body": base64.b64encode(b"\x00body").decode(),
        "headers": {
            "X-Own": "ü",
            "User-Agent": "mine",
            "X-CloudScheduler": "no",
            "Host": "x",
        },
        "oauthToken": {"serviceAccountEmail": ROBOT},
    }
    name = make(jobs, f"{url}/path?query=1", http=http)
    assert run(jobs, name)["status"] == {}
    ((method, headers, body),) = seen.seen
    assert (method, body) == ("POST", b"\x00body")
    assert headers["x-cloudscheduler"] == "true"
    assert headers["x-cloudscheduler-jobname"] == "nightly"
    assert headers["user-agent"] == "Google-Cloud-Scheduler"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-own"] == "ü".encode().decode("latin-1")
    assert headers["host"] == url.partition("//")[2]
    assert headers["authorization"].startswith("Bearer ya29.")


def test_nothing_leaves_this_machine(jobs: Any, target: tuple[Target, str]) -> None:
    seen, url = target
    for uri in (
        ELSEWHERE,
        "https://run.googleapis.com/v2/x:run",
        "http://localhost.example/",
        "http://localhost:1/",
        "http://127.0.0.1:1@x.test/",
    ):
        name = make(jobs, uri)
        code, message = refusal(jobs.run(name=name, body={}))
        assert code == 400
        assert "only loopback addresses" in message
        assert "lastAttemptTime" not in job_of(jobs, name)
        jobs.delete(name=name).execute()
    seen.answers = [307]
    name = make(jobs, url)
    assert run(jobs, name)["status"]["code"] != 0
    assert len(seen.seen) == 1


def test_an_address_in_the_cloud_can_stand_for_one_here(
    store: Store, issuer: Issuer, target: tuple[Target, str]
) -> None:
    seen, url = target
    with serving(scheduler.app(store, issuer, {"https://run.googleapis.com": url})) as address:
        jobs = client("cloudscheduler.v1", address).projects().locations().jobs()
        name = make(jobs, "https://run.googleapis.com/v2/x:run")
        assert run(jobs, name)["status"] == {}
        jobs.delete(name=name).execute()
    assert len(seen.seen) == 1


def test_a_failed_attempt_is_tried_again_as_often_as_asked(jobs: Any, target: tuple[Target, str]) -> None:
    seen, url = target
    seen.answers = [503, 500, 200]
    retry = {"retryCount": 2, "minBackoffDuration": "0.01s"}
    name = make(jobs, url, retryConfig=retry)
    jobs.run(name=name, body={}).execute()
    wait_until(lambda: job_of(jobs, name).get("status") == {})
    assert len(seen.seen) == 3


def test_a_target_that_does_not_answer_is_a_deadline_exceeded(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SHORTEST", 0)
    with socket.create_server((HOST, 0)) as silent:
        name = make(jobs, f"http://{HOST}:{silent.getsockname()[1]}/", attemptDeadline="0.2s")
        status = run(jobs, name)["status"]
    assert status == {"code": 4, "message": "DEADLINE_EXCEEDED"}


def test_a_target_that_drips_is_a_deadline_exceeded(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "SHORTEST", 0)
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
            for _ in range(30):
                if over.wait(0.05):
                    return
                connection.sendall(b"x")

    with socket.create_server((HOST, 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        name = make(jobs, f"http://{HOST}:{listening.getsockname()[1]}/", attemptDeadline="0.3s")
        status = run(jobs, name)["status"]
        over.set()
        thread.join()
    assert status["code"] == 4


def test_a_target_that_is_down_is_unavailable(jobs: Any) -> None:
    assert run(jobs, make(jobs, f"http://{HOST}:{free_port()}/"))["status"]["code"] == 14


def test_a_job_is_paused_and_resumed_once(jobs: Any) -> None:
    name = make(jobs, "https://api.holdfast.test/")
    assert refusal(jobs.resume(name=name, body={}))[0] == 400
    assert jobs.pause(name=name, body={}).execute()["state"] == "PAUSED"
    assert refusal(jobs.pause(name=name, body={}))[0] == 400
    assert jobs.resume(name=name, body={}).execute()["state"] == "ENABLED"
    changed = jobs.patch(name=name, updateMask="schedule", body={"schedule": "0 3 * * *"}).execute()
    assert (changed["schedule"], changed["httpTarget"]["uri"]) == ("0 3 * * *", "https://api.holdfast.test/")
    assert refusal(jobs.create(parent=LOCATION, body={**changed}))[0] == 409
    assert [job["name"] for job in jobs.list(parent=LOCATION).execute()["jobs"]] == [name]
    jobs.delete(name=name).execute()
    assert refusal(jobs.get(name=name))[0] == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "* * * *"},
        {"schedule": "60 * * * *"},
        {"schedule": "*/0 * * * *"},
        {"schedule": "5-1 * * * *"},
        {"schedule": "* * * FOO *"},
        {"timeZone": "Mars/Olympus"},
        {"timeZone": "../../etc/passwd"},
        {"attemptDeadline": "14s"},
        {"attemptDeadline": "forever"},
        {"retryConfig": {"retryCount": 6}},
        {"http": {"uri": "ftp://x"}},
        {"http": {"httpMethod": "GET", "body": "eA=="}},
        {"http": {"oidcToken": {"audience": "x"}}},
        {"http": {"headers": {"X-Own": "a\r\nX-Other: b"}}},
        {"http": {"headers": {"X Own": "a"}}},
    ],
    ids=str,
)
def test_what_google_would_refuse_is_refused(jobs: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(HttpError) as refused:
        make(jobs, "https://api.holdfast.test/", **wrong)
    assert refused.value.status_code == 400
    assert jobs.list(parent=LOCATION).execute() == {}


def test_what_google_takes_and_the_sandbox_does_not_is_named(jobs: Any) -> None:
    with pytest.raises(HttpError) as refused:
        make(jobs, "https://api.holdfast.test/", schedule="every 5 minutes")
    assert refused.value.status_code == 501
    body = {"schedule": "* * * * *", "pubsubTarget": {"topicName": "t"}}
    assert refusal(jobs.create(parent=LOCATION, body=body))[0] == 501
