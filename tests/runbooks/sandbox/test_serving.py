"""`holdfast sandbox` as a process: every service at one port, driven by its own client, through SIGKILL and faults."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import httpx
import obstore
import psutil
import pytest
import redis
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.cloud.run_v2 import IngressTraffic, Service, ServicesClient
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.oauth2.credentials import Credentials
from googleapiclient.errors import HttpError
from obstore.exceptions import PermissionDeniedError
from obstore.store import GCSStore

from tests.runbooks.sandbox.services.google_services import LOCATION, client, operation_done
from tests.running import PROGRAMS, ROOT, clean_environment
from tests.waiting import wait_until

PROJECT = "projects/holdfast"
SECRET = f"{PROJECT}/secrets/password"
JOB = f"{LOCATION}/jobs/help"
SCHEDULE = f"{LOCATION}/jobs/nightly"
CACHE = f"{LOCATION}/instances/cache"
RUN_URI = f"https://run.googleapis.com/v2/{JOB}:run"
METRIC = "custom.googleapis.com/holdfast/dead_tuples"
HOLDFAST = [str(PROGRAMS / "holdfast")]
# The same without the package that has Google's descriptions.
UNDESCRIBED = "import sys; sys.modules['googleapiclient'] = None; from runtime.__main__ import console; console()"


@dataclass(frozen=True)
class Cloud:
    """A sandbox's process, and Google's clients of it."""

    process: "subprocess.Popen[str]"
    endpoints: dict[str, str]

    @cached_property
    def sql(self) -> Any:
        return client("sqladmin.v1", self.endpoints["sql"])

    @cached_property
    def secrets(self) -> Any:
        return client("secretmanager.v1", self.endpoints["secretmanager"]).projects().secrets()

    @cached_property
    def scheduler(self) -> Any:
        return client("cloudscheduler.v1", self.endpoints["cloudscheduler"]).projects().locations().jobs()

    @cached_property
    def run(self) -> Any:
        return client("run.v2", self.endpoints["run"]).projects().locations()

    @cached_property
    def redis(self) -> Any:
        return client("redis.v1", self.endpoints["redis"]).projects().locations()

    @cached_property
    def bucket(self) -> GCSStore:
        """obstore, with the file that the sandbox wrote."""
        account = self.endpoints["storage_account"]
        return GCSStore("archive", service_account=account, client_options={"allow_http": True})

    @contextmanager
    def metrics(self) -> Iterator[monitoring_v3.MetricServiceClient]:
        with grpc.insecure_channel(self.endpoints["monitoring"]) as channel:
            yield monitoring_v3.MetricServiceClient(transport=MetricServiceGrpcTransport(channel=channel))

    def generated(self, service: str) -> dict[str, Any]:
        """What Google's generated clients need for a service."""
        options = ClientOptions(api_endpoint=self.endpoints[service])
        return {"transport": "rest", "credentials": Credentials("any"), "client_options": options}

    def fault(self, text: str) -> None:
        answer = httpx.post(f"{self.endpoints['sql']}/sandbox/faults", json={"fault": text})
        assert answer.status_code == 200, answer.text


@contextmanager
def cloud(state: Path, *arguments: str, program: list[str] = HOLDFAST) -> Iterator[Cloud]:
    """A sandbox on a state folder, which ends well unless a test kills it."""
    command = [*program, "sandbox", "--port", "0", "--state", str(state), "--json", *arguments]
    environment = clean_environment() | {"PYTHONWARNINGS": "error"}
    with (
        (state.parent / "errors").open("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, (state.parent / "errors").read_text()
            yield Cloud(process, json.loads(line))
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with cloud(tmp_path_factory.mktemp("serving") / "state", "--fault", "secretmanager.secrets.list:503x1") as running:
        # The one fault of the command line.
        assert status_of(running.secrets.list(parent=PROJECT)) == 503
        assert running.secrets.list(parent=PROJECT).execute()["totalSize"] == 0
        yield running
    assert running.process.returncode == 0


def status_of(call: Any) -> int:
    with pytest.raises(HttpError) as refused:
        call.execute()
    return int(refused.value.status_code)


def write(metrics: monitoring_v3.MetricServiceClient, value: float) -> None:
    point = {"interval": {"end_time": {"seconds": int(time.time())}}, "value": {"double_value": value}}
    series = {"metric": {"type": METRIC}, "resource": {"type": "global"}, "points": [point]}
    metrics.create_time_series(name=PROJECT, time_series=[monitoring_v3.TimeSeries(series)])


def written(metrics: monitoring_v3.MetricServiceClient) -> list[float]:
    interval = {"start_time": {"seconds": int(time.time()) - 600}, "end_time": {"seconds": int(time.time()) + 60}}
    request = {"name": PROJECT, "filter": f'metric.type = "{METRIC}"', "interval": interval}
    return [point.value.double_value for one in metrics.list_time_series(request=request) for point in one.points]


def connect(cache: dict[str, Any]) -> redis.Redis:
    return redis.Redis(host=cache["host"], port=cache["port"], socket_timeout=5)


def make_everything(cloud: Cloud) -> dict[str, Any]:
    """Something of each service.

    Returns:
        The cache.
    """
    cloud.secrets.create(parent=PROJECT, secretId="password", body={"replication": {"automatic": {}}}).execute()
    data = base64.b64encode(b"p@ss").decode()
    cloud.secrets.addVersion(parent=SECRET, body={"payload": {"data": data}}).execute()

    container = {"image": "any", "args": ["--help"]}
    template = {"template": {"containers": [container], "maxRetries": 0}}
    cloud.run.jobs().create(parent=LOCATION, jobId="help", body={"template": template}).execute()
    target = {"uri": RUN_URI, "oauthToken": {"serviceAccountEmail": "scheduler@holdfast.iam.gserviceaccount.com"}}
    job = {"name": SCHEDULE, "schedule": "0 3 * * *", "httpTarget": target}
    cloud.scheduler.create(parent=LOCATION, body=job).execute()

    body = {"tier": "BASIC", "memorySizeGb": 1}
    begun = cloud.redis.instances().create(parent=LOCATION, instanceId="cache", body=body).execute()
    cache: dict[str, Any] = done(cloud.redis, begun)

    assert httpx.put(f"{cloud.endpoints['storage']}/archive").status_code == 200
    obstore.put(cloud.bucket, "year=2026/ü %2e.gz", b"rows", mode="create")
    with cloud.metrics() as metrics:
        write(metrics, 1.5)
    return cache


def done(locations: Any, operation: dict[str, Any]) -> dict[str, Any]:
    ended = operation_done(lambda name: locations.operations().get(name=name), operation)
    assert "error" not in ended, ended
    response: dict[str, Any] = ended["response"]
    return response


def run_by_schedule(cloud: Cloud) -> None:
    """Let the Scheduler run the job, and see the execution end well."""
    cloud.scheduler.run(name=SCHEDULE, body={}).execute()
    wait_until(lambda: cloud.scheduler.get(name=SCHEDULE).execute().get("status") == {})

    def last() -> dict[str, Any]:
        execution: dict[str, Any] = cloud.run.jobs().get(name=JOB).execute()["latestCreatedExecution"]
        return execution

    wait_until(lambda: last()["completionStatus"] != "EXECUTION_RUNNING")
    assert last()["completionStatus"] == "EXECUTION_SUCCEEDED"


def test_all_services_serve_at_one_port_and_are_back_after_sigkill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with cloud(state) as first:
        url = first.endpoints["sql"]
        assert httpx.get(f"{url}/sandbox").json() == first.endpoints
        assert {name for name, place in first.endpoints.items() if place.startswith(url)} == {
            *("sql", "secretmanager", "cloudscheduler", "run", "redis", "storage", "issuer")
        }
        keys = httpx.get(f"{first.endpoints['issuer']}/.well-known/openid-configuration").json()
        assert keys["issuer"] == first.endpoints["issuer"]
        assert keys["jwks_uri"].startswith(url)
        cache = make_everything(first)
        with connect(cache) as connection:
            assert connection.ping()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(10)
    with cloud(state) as second:
        assert second.sql.instances().list(project="holdfast").execute()["items"] == []
        generated = SecretManagerServiceClient(**second.generated("secretmanager"))
        assert generated.access_secret_version(name=f"{SECRET}/versions/latest").payload.data == b"p@ss"
        generated.transport.close()
        run_by_schedule(second)
        kept = second.redis.instances().get(name=CACHE).execute()
        assert (kept["state"], kept["port"]) == ("READY", cache["port"])
        with connect(kept) as connection:
            assert connection.ping()
        assert bytes(obstore.get(second.bucket, "year=2026/ü %2e.gz").bytes()) == b"rows"
        with second.metrics() as metrics:
            assert written(metrics) == [1.5]
        children = psutil.Process(second.process.pid).children(recursive=True)
        assert children
    assert second.process.returncode == 0
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_fault_reaches_every_service(served: Cloud) -> None:
    httpx.put(f"{served.endpoints['storage']}/archive")
    for fault, call in (
        ("instances.list:503x1", served.sql.instances().list(project="holdfast")),
        ("secretmanager.secrets.list:502x1", served.secrets.list(parent=PROJECT)),
        ("cloudscheduler.jobs.list:429x1", served.scheduler.list(parent=LOCATION)),
        ("run:500x1", served.run.jobs().list(parent=LOCATION)),
        ("redis.projects.locations.instances:403x1", served.redis.instances().list(parent=LOCATION)),
    ):
        served.fault(fault)
        assert status_of(call) == int(fault[-5:-2])
        call.execute()
    served.fault("storage.objects.insert:403x1")
    with pytest.raises(PermissionDeniedError):
        obstore.put(served.bucket, "a", b"x")
    obstore.put(served.bucket, "a", b"x")
    with served.metrics() as metrics:
        served.fault("monitoring.CreateTimeSeries:503x1")
        with pytest.raises(exceptions.ServiceUnavailable):
            write(metrics, 1.0)
        write(metrics, 1.0)
        for name, slow in (
            ("instances.list", lambda: served.sql.instances().list(project="holdfast").execute()),
            ("run.jobs.list", lambda: served.run.jobs().list(parent=LOCATION).execute()),
            ("storage.objects.get", lambda: obstore.head(served.bucket, "a")),
            ("monitoring.ListTimeSeries", lambda: written(metrics)),
        ):
            served.fault(f"{name}:slow=0.3x1")
            began = time.monotonic()
            slow()
            assert time.monotonic() - began >= 0.3, name
    assert httpx.get(f"{served.endpoints['sql']}/sandbox/faults").json() == {"faults": []}


def test_generated_clients_write_enumerations_as_numbers(served: Cloud) -> None:
    client = ServicesClient(**served.generated("run"))
    service = {"template": {"containers": [{"image": "any"}]}, "ingress": 2, "launch_stage": 4}
    made = client.create_service(parent=LOCATION, service_id="api", service=Service(service)).result()
    assert made.ingress == IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY
    kept = served.run.services().get(name=made.name).execute()
    assert (kept["ingress"], kept["launchStage"]) == ("INGRESS_TRAFFIC_INTERNAL_ONLY", "GA")
    made.template.containers[0].image = "other"
    changed = client.update_service(service=made).result()
    assert changed.latest_ready_revision != made.latest_ready_revision
    assert changed.launch_stage == 4
    with pytest.raises(exceptions.BadRequest, match="Invalid value at 'ingress'"):
        client.update_service(service=Service({**service, "name": made.name, "ingress": 99}))
    client.delete_service(name=made.name).result()
    client.transport.close()


def test_the_sandbox_says_where_everything_is_and_what_it_does_not_check(tmp_path: Path) -> None:
    with cloud(tmp_path / "state", program=[sys.executable, "-c", UNDESCRIBED]) as blind:
        told = (tmp_path / "errors").read_text()
        assert len(told.splitlines()) == 1
        assert "not checked: google-api-python-client" in told
        answer = httpx.post(
            f"{blind.endpoints['run']}/v2/{LOCATION}/jobs?jobId=x",
            json={"template": {"template": {"containers": [1]}}},
            headers={"Authorization": "Bearer any"},
        )
        assert answer.status_code == 400


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--fault", "instances.gett:503"), "is it instances.get?"),
        (("--port", "{taken}"), "choose another with --port"),
        (("--monitoring-port", "{taken}"), "choose another with --monitoring-port"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line(
    served: Cloud, tmp_path: Path, arguments: tuple[str, str], why: str
) -> None:
    option, value = arguments
    value = value.format(taken=served.endpoints["sql"].rpartition(":")[2])
    command = [*HOLDFAST, "sandbox", "--port", "0", "--state", str(tmp_path / "state"), option, value]
    ended = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
