"""What each service says that it does, against Google's description; what it does not do is answered 501 by name."""

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud.monitoring_v3.services.metric_service.transports import grpc as grpc_transport

from runbooks.sandbox.services import memorystore, monitoring, run, scheduler, secret_manager
from runbooks.sandbox.services.calls import Call
from runbooks.sandbox.services.issuer import Issuer
from runbooks.sandbox.services.rest import Rest
from runbooks.sandbox.store import Store
from tests.runbooks.sandbox.services.google_services import LOCATION, methods, serving

TABLES = {
    "secretmanager.v1": secret_manager.METHODS,
    "cloudscheduler.v1": scheduler.METHODS,
    "run.v2": run.METHODS,
    "redis.v1": memorystore.METHODS,
}
TOKEN = {"Authorization": "Bearer anything"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("services")
    store = Store(folder / "store.db")
    apps = {
        "secretmanager.v1": secret_manager.app(store),
        "cloudscheduler.v1": scheduler.app(store, Issuer(store, "http://127.0.0.1:1")),
        "run.v2": run.app(store, folder / "run"),
        "redis.v1": memorystore.app(store, folder / "redis"),
    }
    with ExitStack() as stack:
        yield {name: stack.enter_context(serving(app)) for name, app in apps.items()}
    store.close()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_every_method_of_googles_description_and_no_other(name: str) -> None:
    assert set(TABLES[name]) == set(methods(name))
    assert all(re.match("full$|absent$|partial: .", how) for how in TABLES[name].values())


def test_monitorings_table_has_every_method_of_googles_client() -> None:
    descriptor = metric_service_descriptor()
    assert set(monitoring.METHODS) == descriptor


def test_what_is_absent_is_refused_by_name_and_what_is_there_is_not(urls: dict[str, str]) -> None:
    client = httpx.Client(headers=TOKEN)
    for name, table in TABLES.items():
        for method, described in methods(name).items():
            path = re.sub(r"\{\w+\}", "some", described["flatPath"])
            answer = client.request(described["httpMethod"], f"{urls[name]}/{path}")
            if table[method] == "absent":
                error = answer.json()["error"]
                assert (answer.status_code, error["status"]) == (501, "UNIMPLEMENTED"), method
                odd = "Id1}" in described["flatPath"]
                assert odd or f"{name.partition('.')[0]}.{method}" in error["message"]
            else:
                assert answer.status_code in (200, 400, 404), (method, answer.text)
    client.close()


def test_a_call_without_a_token_is_refused(urls: dict[str, str]) -> None:
    for name, url in urls.items():
        path = f"/{name.partition('.')[2]}/{LOCATION}/instances"
        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
            answer = httpx.get(f"{url}{path}", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("body", ["[]", "{", "null", '"x"', "[" * 100_000])
def test_a_body_that_is_no_object_is_refused(urls: dict[str, str], body: str) -> None:
    answer = httpx.post(f"{urls['run.v2']}/v2/{LOCATION}/jobs?jobId=x", content=body, headers=TOKEN)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("run.v2", "jobs?jobId=x", {"template": {"template": {"containers": [{"image": "i", "env": ["x"]}]}}}),
        ("run.v2", "services?serviceId=x", {"template": 1}),
        ("redis.v1", "instances?instanceId=x", {"memorySizeGb": 1, "tier": []}),
        ("cloudscheduler.v1", "jobs", {"schedule": 1, "httpTarget": {"uri": "http://x"}}),
        ("secretmanager.v1", "secrets?secretId=x", {"labelz": {}}),
    ],
)
def test_a_field_of_another_type_or_name_is_refused(urls: dict[str, str], name: str, path: str, body: object) -> None:
    answer = httpx.post(f"{urls[name]}/{name.partition('.')[2]}/{LOCATION}/{path}", json=body, headers=TOKEN)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_what_is_not_in_googles_document_is_refused_in_its_words(urls: dict[str, str]) -> None:
    with httpx.Client(headers=TOKEN) as client:
        for name, path, body, problem in (
            ("run.v2", "jobs?jobId=x&dry=1", {}, 'Unknown name "dry"'),
            ("run.v2", "jobs?jobId=x&validateOnly=yes", {}, "Invalid value at 'validateOnly'"),
            ("run.v2", "jobs?jobId=x", {"template": {"tasks": 1}}, "Unknown name \"tasks\" at 'template'"),
            ("run.v2", "jobs?jobId=x", {"launchStage": "NEVER"}, "Invalid value at 'launchStage', \"NEVER\""),
            ("cloudscheduler.v1", "jobs", {"attemptDeadline": "soon"}, "Invalid value at 'attemptDeadline'"),
        ):
            answer = client.post(f"{urls[name]}/{name.partition('.')[2]}/{LOCATION}/{path}", json=body)
            assert answer.status_code == 400
            assert problem in answer.json()["error"]["message"]
        answer = client.post(f"{urls['run.v2']}/v2/{LOCATION}/jobs?jobId=x", json={"labels": None, "template": None})
        assert "job.template.template" in answer.json()["error"]["message"]


def test_an_answer_in_another_shape_or_a_defect_is_an_internal_error() -> None:
    empty = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    job = {"@type": "type.googleapis.com/google.cloud.run.v2.Job", "name": "x"}
    right = {"name": "x", "done": True, "metadata": empty, "response": job}
    wrong: list[tuple[Any, str]] = [
        ({"nmae": "x"}, 'Unknown name "nmae"'),
        ({"name": 1}, "'name' (type string )"),
        ({"error": {"code": "1"}}, "'error.code' (type integer int32)"),
        ({"response": {**job, "nmae": "x"}}, "Unknown name \"nmae\" at 'response'"),
        ({"metadata": {**job, "generation": 1}}, "'metadata.generation' (type string int64)"),
        ({"response": {**job, "createTime": "2026-01-01T00:00:00+00:00"}}, "(type string google-datetime)"),
        ({"response": {**job, "launchStage": "NEVER"}}, "'response.launchStage', \"NEVER\""),
        ({"response": None}, "'response' (type object )"),
        (None, "'body' (type object )"),
        (ValueError("a defect"), "ValueError: a defect"),
        (OSError("a full disk"), "OSError: a full disk"),
    ]
    answers = [right, *(answer for answer, _ in wrong)]

    def get(_call: Call) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    rest = Rest("run", "v2", {"projects.locations.operations.get": get}, lock=threading.RLock())
    with serving(rest.app()) as url, httpx.Client(headers=TOKEN) as client:
        assert client.get(f"{url}/v2/{LOCATION}/operations/x").json() == right
        for _, problem in wrong:
            refused = client.get(f"{url}/v2/{LOCATION}/operations/x")
            error = refused.json()["error"]
            assert (refused.status_code, error["status"]) == (500, "INTERNAL")
            assert problem in error["message"]


def metric_service_descriptor() -> set[str]:
    """The service's methods, as the client's transport names them on the wire."""
    source = Path(grpc_transport.__file__).read_text()
    return set(re.findall(r'"/google\.monitoring\.v3\.MetricService/(\w+)"', source))
