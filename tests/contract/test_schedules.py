"""What the Scheduler asks for is there, and lets in the identity that it comes with."""

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from runbooks.local.ports import HOST, free_port
from runbooks.plan.model import Plan, Resource
from runbooks.sandbox.services import run as cloud_run
from runbooks.sandbox.services import scheduler
from runbooks.sandbox.services.errors import CODES
from runbooks.sandbox.services.issuer import Issuer
from runbooks.sandbox.store import Store
from runtime.api.app import create_app
from runtime.commands.app import register
from tests.conftest import SECRET, TestDatabase, as_secret, settings_of
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import JOB, SERVICE, body_of, changed, container_of, only
from tests.runbooks.sandbox.services.google_services import client, serving
from tests.waiting import wait_until

SCHEDULED = "gcp:cloudscheduler/job:Job"
MAY_START = "gcp:cloudrunv2/jobIamMember:JobIamMember"
RUN = "https://run.googleapis.com/v2/"
NOT_LET_IN = (CODES["UNAUTHENTICATED"][1], CODES["PERMISSION_DENIED"][1])


@functools.cache
def routes() -> dict[tuple[str, str], Any]:
    """The application's, by method and path."""
    app = create_app(settings_of(database_url="postgresql://a@127.0.0.1/b", log_level="ERROR"))
    found = {}
    for route in app.routes:
        for method in getattr(route, "methods", None) or ():
            found[method, route.path] = route
    return found


@functools.cache
def commands() -> dict[str, Any]:
    """What `python -m runtime` has."""
    app = typer.Typer()
    register(app)
    found: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
    return found


def faults(plan: Plan, schedule: Resource) -> list[str]:
    """Why a schedule would do nothing."""
    target = schedule.inputs["httpTarget"]
    find = job_faults if target["uri"].startswith(RUN) else route_faults
    return [*find(plan, target), *([] if schedule.inputs["timeZone"] == "Etc/UTC" else ["it is not in UTC"])]


def job_faults(plan: Plan, target: dict[str, Any]) -> list[str]:
    found = {job_uri(one): one for one in plan.of_type(JOB)}
    job = found.get(target["uri"].removesuffix(":run"))
    if job is None or not target["uri"].endswith(":run"):
        return [f"there is no job {target['uri']}"]
    who = target.get("oauthToken", {})
    may = [
        one.inputs["member"]
        for one in plan.of_type(MAY_START)
        if one.inputs["name"] == job.inputs["name"] and one.inputs["role"] == "roles/run.invoker"
    ]
    lines = []
    if f"serviceAccount:{who.get('serviceAccountEmail')}" not in may:
        lines.append(f"{who.get('serviceAccountEmail')} may not start {job.inputs['name']}")
    if who.get("scope") != "https://www.googleapis.com/auth/cloud-platform":
        lines.append("its token is not for Google's APIs")
    command, *options = container_of(job)["args"]
    known = commands().get(command)
    if known is None:
        return [*lines, f"there is no command {command}"]
    taken = {name for parameter in known.params for name in parameter.opts}
    return [*lines, *(f"{command} has no {option}" for option in options if option not in taken)]


def job_uri(job: Resource) -> str:
    """Where Cloud Run has it."""
    project, region = "holdfast-dev" if "dev::" in job.urn else "holdfast-prod", job.inputs["location"]
    return f"{RUN}projects/{project}/locations/{region}/jobs/{job.inputs['name']}"


def route_faults(plan: Plan, target: dict[str, Any]) -> list[str]:
    service = only(plan, SERVICE)
    base = base_of(target["uri"])
    route = routes().get((target["httpMethod"], target["uri"].removeprefix(base)))
    if route is None:
        return [f"there is no route {target['httpMethod']} {target['uri']}"]
    balanced = service.inputs["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    lines = []
    if balanced and base.endswith(".run.app"):
        lines.append(f"{base} is closed: the service is behind a load balancer")
    token = target.get("oidcToken", {})
    (provider,) = providers_of(service)
    if token.get("audience") != provider["audience"]:
        lines.append(f"its token is for {token.get('audience')}, and the API wants {provider['audience']}")
    if str(route.scope) not in provider["emails"].get(token.get("serviceAccountEmail"), []):
        lines.append(f"{token.get('serviceAccountEmail')} has not {route.scope}")
    return lines


def base_of(uri: str) -> str:
    """The origin of an address."""
    return "/".join(uri.split("/")[:3])


def providers_of(service: Resource) -> list[dict[str, Any]]:
    """OIDC_PROVIDERS, as the service is told."""
    (text,) = [one["value"] for one in container_of(service)["envs"] if one["name"] == "OIDC_PROVIDERS"]
    providers: list[dict[str, Any]] = json.loads(text)
    return providers


def route_schedule(plan: Plan) -> Resource:
    """The one that calls the API."""
    (found,) = [one for one in plan.of_type(SCHEDULED) if not one.inputs["httpTarget"]["uri"].startswith(RUN)]
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_each_schedule_has_a_target_that_lets_it_in(stack: str) -> None:
    plan = planned(stack, resolve=True)
    schedules = plan.of_type(SCHEDULED)
    times = {one.name: one.inputs["schedule"] for one in schedules}
    assert times["holdfast-verify-backup"] == "0 3 * * 0"
    assert times["holdfast-publish-database-metrics"] == "* * * * *"
    for schedule in schedules:
        assert faults(plan, schedule) == [], schedule.name


def test_the_schedules_tokens_are_good_for_what_it_asks_and_for_nothing_else() -> None:
    plan = planned("prod", resolve=True)
    target = route_schedule(plan).inputs["httpTarget"]
    route = routes()[target["httpMethod"], target["uri"].removeprefix(base_of(target["uri"]))]
    (provider,) = providers_of(only(plan, SERVICE))
    assert provider["emails"] == {target["oidcToken"]["serviceAccountEmail"]: [str(route.scope)]}


def another_audience(plan: Plan) -> None:
    route_schedule(plan).inputs["httpTarget"]["oidcToken"]["audience"] = "https://api.holdfast.example"


def another_path(plan: Plan) -> None:
    target = route_schedule(plan).inputs["httpTarget"]
    target["uri"] = target["uri"].replace("publish-metrics", "publish")


def another_caller(plan: Plan) -> None:
    route_schedule(plan).inputs["httpTarget"]["oidcToken"]["serviceAccountEmail"] = "jobs@p.iam.gserviceaccount.com"


def closed_address(plan: Plan) -> None:
    target = route_schedule(plan).inputs["httpTarget"]
    target["uri"] = target["uri"].replace(base_of(target["uri"]), "https://holdfast-api-1.us-central1.run.app")


def another_command(plan: Plan) -> None:
    container_of(only(plan, JOB, "holdfast-partitions"))["args"] = ["partition"]


def another_option(plan: Plan) -> None:
    container_of(only(plan, JOB, "holdfast-forget-idempotency-keys"))["args"][1] = "--really"


def no_job(plan: Plan) -> None:
    only(plan, JOB, "holdfast-partitions").inputs["name"] = "holdfast-partition"


def not_allowed(plan: Plan) -> None:
    only(plan, MAY_START, "holdfast-partitions").inputs["role"] = "roles/run.viewer"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (another_audience, "its token is for https://api.holdfast.example"),
        (another_path, "there is no route POST"),
        (another_caller, "has not platform:write"),
        (closed_address, "is closed"),
        (another_command, "there is no command partition"),
        (another_option, "has no --really"),
        (no_job, "there is no job"),
        (not_allowed, "may not start holdfast-partitions"),
    ],
)
def test_a_change_of_one_side_is_seen(change: Callable[[Plan], None], line: str) -> None:
    plan = changed(planned("prod", resolve=True))
    change(plan)
    lines = [fault for schedule in plan.of_type(SCHEDULED) for fault in faults(plan, schedule)]
    assert any(line in fault for fault in lines), lines


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("schedules") / "store.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def issuer(store: Store) -> Iterator[Issuer]:
    port = free_port()
    made = Issuer(store, f"http://{HOST}:{port}")
    with serving(made.app(), port=port):
        yield made


def sent(schedule: Resource, location: str) -> dict[str, Any]:
    """A schedule as the Scheduler takes it."""
    inputs = {name: value for name, value in schedule.inputs.items() if name not in ("region", "paused")}
    return {**inputs, "name": f"{location}/jobs/{inputs['name']}"}


def location_of(stack: str) -> str:
    return f"projects/holdfast-{stack}/locations/us-central1"


def outcome(jobs: Any, name: str) -> dict[str, Any]:
    """What an attempt of a schedule came to."""
    jobs.run(name=name, body={}).execute()
    job = wait_until(lambda: found if "status" in (found := jobs.get(name=name).execute()) else None)
    status: dict[str, Any] = job["status"]
    return status


@pytest.mark.parametrize("stack", STACKS)
def test_the_api_lets_the_schedule_in_and_nobody_with_another_audience(
    stack: str, store: Store, issuer: Issuer, database: TestDatabase
) -> None:
    plan = planned(stack, resolve=True)
    schedule = route_schedule(plan)
    # As the plan has it, but for who signs.
    (provider,) = providers_of(only(plan, SERVICE))
    told = [{**provider, "issuer": issuer.url}]
    api = create_app(database.settings(db_pool_min=1, log_level="ERROR", oidc_providers=told))
    with serving(api) as url:
        addresses = {base_of(schedule.inputs["httpTarget"]["uri"]): url}
        with serving(scheduler.app(store, issuer, addresses)) as address:
            jobs = client("cloudscheduler.v1", address).projects().locations().jobs()
            body = sent(schedule, location_of(stack))
            name = jobs.create(parent=location_of(stack), body=body).execute()["name"]
            assert outcome(jobs, name).get("code") not in NOT_LET_IN
            body["httpTarget"]["oidcToken"]["audience"] = "https://api.holdfast.example"
            jobs.patch(name=name, updateMask="httpTarget", body=body).execute()
            assert outcome(jobs, name)["code"] == CODES["UNAUTHENTICATED"][1]


def test_the_schedule_starts_the_job_of_the_plan(
    store: Store, issuer: Issuer, database: TestDatabase, tmp_path: Path
) -> None:
    plan = planned("prod", resolve=True)
    location, name = location_of("prod"), "holdfast-partitions"
    told = {"DATABASE_URL": as_secret(database.url("jobs_login")).get_secret_value(), "SECRET_KEY": SECRET}
    with serving(cloud_run.app(store, tmp_path)) as url:
        running = client("run.v2", url).projects().locations().jobs()
        body = body_of(only(plan, JOB, name), told)
        running.create(parent=location, jobId=name, body=body).execute()
        addresses = {"https://run.googleapis.com": url}
        with serving(scheduler.app(store, issuer, addresses)) as address:
            jobs = client("cloudscheduler.v1", address).projects().locations().jobs()
            schedule = sent(only(plan, SCHEDULED, name), location)
            jobs.create(parent=location, body=schedule).execute()
            assert outcome(jobs, schedule["name"]) == {}

        def ended() -> str | None:
            job = running.get(name=f"{location}/jobs/{name}").execute()
            status: str = job["latestCreatedExecution"]["completionStatus"]
            return None if status == "EXECUTION_RUNNING" else status

        assert wait_until(ended) == "EXECUTION_SUCCEEDED"
