"""A new image: the schema first, to its end; and what fails there leaves what serves alone.

The plan's own job and service are sent to the sandbox in the plan's order, as Pulumi would.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runbooks.plan.errors import PlanError
from runbooks.plan.evaluate import evaluate
from runbooks.plan.model import Plan, Resource
from runbooks.plan.monitor import Monitor
from runbooks.plan.project import Project
from runbooks.plan.sdk import importing
from runbooks.sandbox.services import run as cloud_run
from runbooks.sandbox.store import Store
from tests.conftest import TestDatabase, as_secret
from tests.contract.plans import IMAGE, ROOT, STACKS, planned
from tests.contract.workloads import JOB, SERVICE, before, body_of, changed, container_of, only, programs
from tests.runbooks.sandbox.services.google_services import client, operation_done, serving

LOCATION = "projects/holdfast-prod/locations/us-central1"
API = f"{LOCATION}/services/holdfast-api"
USER = "gcp:sql/user:User"
GRANT = "gcp:projects/iAMMember:IAMMember"
READER = "gcp:secretmanager/secretIamMember:SecretIamMember"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
MIGRATE = "holdfast-migrate"
NEWER = IMAGE[:-64] + "f" * 64
FAILED = "The container exited with an error."


def release(image: str = IMAGE, **settings: str) -> Plan:
    """Production's plan with an image, and settings by path with __ for each point."""
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    changes |= {} if image == IMAGE else {"service.image": image}
    return planned("prod", resolve=True, changes=tuple(changes.items()))


def untimely(plan: Plan) -> list[str]:
    """What would run an image before the schema suits it."""
    migration = only(plan, JOB, MIGRATE).urn
    ran = [*plan.of_type(SERVICE), *plan.of_type(JOB)]
    return [one.name for one in ran if one.urn != migration and migration not in before(plan, one)]


@pytest.mark.parametrize("stack", STACKS)
def test_everything_waits_for_the_migration(stack: str) -> None:
    assert untimely(planned(stack, resolve=True)) == []


def test_a_service_that_does_not_wait_is_seen() -> None:
    plan = changed(planned("prod", resolve=True))
    service = only(plan, SERVICE)
    service.depends_on = []
    service.property_dependencies = {}
    assert untimely(plan) == ["holdfast-api"]


def unready(plan: Plan) -> list[str]:
    """What would run before its login is there, before it may do what it does, or before its secrets can be read."""
    return [f"{one.name}: {name}" for one in programs(plan).values() for name in _absent(plan, one)]


def _absent(plan: Plan, one: Resource) -> list[str]:
    template = one.inputs["template"]["template"] if one.type == JOB else one.inputs["template"]
    text, member = json.dumps(template), f"serviceAccount:{template['serviceAccount']}"
    (user,) = [told["value"] for told in container_of(one)["envs"] if told["name"] == "DB_USER"]
    wanted = [
        *(each for each in plan.of_type(USER) if each.inputs["name"] == user),
        *(each for each in plan.of_type(GRANT) if each.inputs["member"] == member),
        *(each for each in plan.of_type(READER) if each.inputs["member"] == member and _named(each, "secretId", text)),
        *(each for each in plan.of_type(VERSION) if _named(each, "secret", text)),
    ]
    assert len({each.type for each in wanted}) == 4
    waits = before(plan, one)
    return [each.name for each in wanted if each.urn not in waits]


def _named(one: Resource, field: str, text: str) -> bool:
    return json.dumps(one.inputs[field].rpartition("/")[2]) in text


@pytest.mark.parametrize("stack", STACKS)
def test_what_runs_finds_its_login_its_grants_and_its_secrets(stack: str) -> None:
    assert unready(planned(stack, resolve=True)) == []


def test_what_waits_for_nothing_is_seen() -> None:
    plan = changed(planned("prod", resolve=True))
    only(plan, JOB, MIGRATE).depends_on = []
    lines = unready(plan)
    for name in (
        "holdfast-user-holdfast_migrator",
        "holdfast-migrate-cloudsql.client",
        "holdfast-migrator-url-migrate",
    ):
        assert f"{MIGRATE}: {name}" in lines


def test_pulumi_waits_longer_for_a_migration_than_the_migration_may_take() -> None:
    job = only(planned("prod", resolve=True), JOB, MIGRATE)
    takes = int(job.inputs["template"]["template"]["timeout"].removesuffix("s"))
    assert [int(job.custom_timeouts[name].removesuffix("s")) > takes for name in ("create", "update")] == [True] * 2


def test_each_image_and_each_attempt_has_an_execution_of_its_own() -> None:
    plans = (release(), release(NEWER), release(NEWER, jobs__migrate__attempt="2"))
    tokens = [only(plan, JOB, MIGRATE).inputs["runExecutionToken"] for plan in plans]
    assert len(set(tokens)) == 3
    assert [token[:12] for token in tokens] == [IMAGE[-64:][:12], "f" * 12, "f" * 12]
    assert all(len(MIGRATE) + len(token) < 63 for token in tokens)


def test_once_a_migration_has_failed_no_later_run_touches_what_runs_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with importing():
        import pulumi  # noqa: PLC0415

        from infra.components import migration  # noqa: PLC0415

    def failed(_: list[object]) -> str:
        message = "it failed"
        raise pulumi.RunError(message)

    asked: list[Monitor] = []

    class Asked(Monitor):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            asked.append(self)

    monkeypatch.setattr(migration, "succeeded", failed)
    monkeypatch.setattr("runbooks.plan.evaluate.Monitor", Asked)
    with pytest.raises(PlanError, match="it failed"):
        evaluate(Project(ROOT), "prod", resolve=True, changes={"service.image": NEWER})
    (monitor,) = asked
    assert [one.name for one in monitor.registered.values() if one.type in (SERVICE, JOB)] == [MIGRATE]


def test_a_revision_is_named_by_what_the_program_knows_of_its_secrets_and_waits_for_the_migration() -> None:
    plan = planned("prod", resolve=True)
    named_by = only(plan, SERVICE).property_dependencies["template"]
    versions = {urn.rpartition("::")[2] for urn in named_by if ":SecretVersion::" in urn}
    secrets = ("cache-authority", "cache-url", "instance", "secret-key")
    assert versions == {f"holdfast-{name}" for name in secrets}
    # Its name is an error once the migration has failed, also in a later run.
    assert only(plan, JOB, MIGRATE).urn in named_by


@pytest.fixture
def location(tmp_path: Path) -> Iterator[Any]:
    store = Store(tmp_path / "store.db")
    with serving(cloud_run.app(store, tmp_path)) as url:
        yield client("run.v2", url).projects().locations()
    store.close()


def apply(plan: Plan, location: Any, told: Mapping[str, str]) -> str | None:
    """Bring the migrate job and the service to a plan, in its order, up to the first error, which is answered."""
    first = only(plan, JOB, MIGRATE)
    for resource in sorted((first, only(plan, SERVICE)), key=lambda one: first.urn in before(plan, one)):
        body = body_of(resource, told if resource is first else None)
        operation = operation_done(lambda name: location.operations().get(name=name), send(resource, location, body))
        if "error" in operation:
            return str(operation["error"]["message"])
    return None


def send(resource: Resource, location: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Make it, or change it."""
    name = resource.inputs["name"]
    calls, kind = (location.jobs(), "jobs") if resource.type == JOB else (location.services(), "services")
    existing = [one["name"] for one in calls.list(parent=LOCATION).execute().get(kind, [])]
    if f"{LOCATION}/{kind}/{name}" in existing:
        return calls.patch(name=f"{LOCATION}/{kind}/{name}", body=body).execute()
    ident = {"jobId": name} if resource.type == JOB else {"serviceId": name}
    return calls.create(parent=LOCATION, body=body, **ident).execute()


def shares(location: Any) -> dict[str, int]:
    service = location.services().get(name=API).execute()
    return {status["revision"]: status["percent"] for status in service["trafficStatuses"]}


def revision(plan: Plan) -> str:
    name: str = only(plan, SERVICE).inputs["template"]["revision"]
    return name


def test_a_migration_ends_before_its_revision_serves_and_one_that_fails_lets_the_old_one_serve(
    location: Any, database: TestDatabase
) -> None:
    good = {"DATABASE_URL": as_secret(database.url()).get_secret_value()}
    bad = {"DATABASE_URL": as_secret(database.url().set(password="wrong")).get_secret_value()}
    assert apply(release(), location, good) is None
    assert shares(location) == {revision(release()): 100}
    served = location.services().get(name=API).execute()

    assert FAILED in (apply(release(NEWER), location, bad) or "")
    assert location.services().get(name=API).execute() == served

    mended = release(NEWER, jobs__migrate__attempt="2")
    assert apply(mended, location, good) is None
    assert shares(location) == {revision(mended): 100}
    execution, *_ = location.jobs().executions().list(parent=f"{LOCATION}/jobs/{MIGRATE}").execute()["executions"]
    assert execution["completionTime"] < location.services().get(name=API).execute()["updateTime"]


def test_a_canary_is_kept_or_given_up_without_another_revision(location: Any) -> None:
    stable, newer = release(), release(NEWER)
    canary = release(service__canary_image=NEWER, service__canary_percent="10")
    assert container_of(only(canary, SERVICE))["image"] == NEWER
    # The schema is the newer one's, also when that is given up: then no migration runs.
    given_up = release(jobs__migrate__image=NEWER)
    assert only(given_up, JOB, MIGRATE).inputs == only(canary, JOB, MIGRATE).inputs
    assert container_of(only(given_up, JOB, MIGRATE))["image"] == NEWER
    assert container_of(only(canary, JOB, "holdfast-partitions"))["image"] == IMAGE
    for plan, wanted in (
        (stable, {revision(stable): 100}),
        (canary, {revision(stable): 90, revision(newer): 10}),
        (given_up, {revision(stable): 100}),
        (canary, {revision(stable): 90, revision(newer): 10}),
        (newer, {revision(newer): 100}),
    ):
        operation = send(only(plan, SERVICE), location, body_of(only(plan, SERVICE)))
        assert "error" not in operation
        assert shares(location) == wanted
    assert len(location.services().revisions().list(parent=API).execute()["revisions"]) == 2
