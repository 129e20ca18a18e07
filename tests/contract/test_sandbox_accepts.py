"""What the plan has of Cloud SQL, Memorystore, Secret Manager and Cloud Scheduler, the sandbox takes and keeps.

The sandbox holds each request to Google's description.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import psycopg2
import pytest
from googleapiclient.errors import HttpError

from infra import logins
from runbooks.plan.model import Plan, Resource
from runbooks.sandbox.testing import Sandbox, sandbox
from tests.contract import requests
from tests.contract.plans import STACKS, planned
from tests.runbooks.sandbox.admin import Admin
from tests.runbooks.sandbox.services.google_services import client, operation_done

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
PRIMARY = "holdfast-database"
USER = "gcp:sql/user:User"
DATABASE = "gcp:sql/database:Database"
CACHE = "gcp:redis/instance:Instance"
SECRET = "gcp:secretmanager/secret:Secret"
JOB = "gcp:cloudscheduler/job:Job"
PASSWORD = "a-password-of-32-characters-here"
PLUS = (("database.edition", "ENTERPRISE_PLUS"),)
PSC = (("database.connectivity", "PRIVATE_SERVICE_CONNECT"),)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


def only(plan: Plan, type_: str, name: str) -> Resource:
    (found,) = (one for one in plan.of_type(type_) if one.name == name)
    return found


@contextmanager
def project(cloud: Sandbox, name: str) -> Iterator[Admin]:
    """A project's Cloud SQL."""
    admin = Admin(cloud["sql"], name)
    try:
        yield admin
    finally:
        admin.close()


def build(cloud: Sandbox, name: str, plan: Plan) -> list[str]:
    """Make a plan's instances in a project of their own, with databases and users.

    Returns:
        What is read back otherwise than it was sent.
    """
    with project(cloud, name) as admin:
        lines = _make(admin, PRIMARY, requests.sql_instance(only(plan, INSTANCE, PRIMARY), PRIMARY))
        for one in plan.of_type(DATABASE):
            admin.well(admin.http.post(f"instances/{PRIMARY}/databases", json=requests.sql_database(one)))
        lines += _add_users(cloud, admin, name, plan.of_type(USER))
        for one in plan.of_type(INSTANCE):
            if one.name != PRIMARY:
                body = requests.sql_instance(one, one.inputs["name"])
                kept = {"masterInstanceName": f"{name}:{PRIMARY}"}
                lines += _make(admin, body["name"], body, kept)
        return lines


def update(cloud: Sandbox, name: str, plan: Plan) -> list[str]:
    """Give the instances of a project the settings of another plan, and the primary its replica for disasters."""
    lines = []
    with project(cloud, name) as admin:
        for one in plan.of_type(INSTANCE):
            instance = one.inputs.get("name", PRIMARY)
            body = {"settings": requests.sql_instance(one, instance)["settings"]}
            admin.well(admin.http.patch(f"instances/{instance}", json=body))
            lines += requests.missing(body, admin.get(instance), instance)
        return lines + _designate(admin, only(plan, INSTANCE, PRIMARY))


def _make(
    admin: Admin, name: str, body: dict[str, Any], otherwise: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    admin.well(admin.http.post("instances", json=body))
    return requests.missing({**body, **otherwise}, admin.get(name), name)


def _add_users(cloud: Sandbox, admin: Admin, name: str, users: list[Resource]) -> list[str]:
    lines = []
    is_there = False
    # The readers come last: the migrate job makes the group that they are in.
    for user in sorted(users, key=_is_reader):
        if _is_reader(user) and not is_there:
            _make_group(cloud, admin, name)
            is_there = True
        body = requests.sql_user(user, PASSWORD)
        admin.well(admin.http.post(f"instances/{PRIMARY}/users", json=body))
        kept = admin.http.get(f"instances/{PRIMARY}/users/{body['name']}").json()
        lines += requests.missing({key: value for key, value in body.items() if key != "password"}, kept, user.name)
        if body["type"] == "BUILT_IN" and not _is_reader(user):
            assert kept["databaseRoles"] == ["cloudsqlsuperuser"]
    return lines


def _is_reader(user: Resource) -> bool:
    return "databaseRoles" in user.inputs


def _make_group(cloud: Sandbox, admin: Admin, name: str) -> None:
    """Make the readers' group as the migrate job does, past the connectors, which this is not about."""
    _enforce(admin, "NOT_REQUIRED")
    place = cloud.address(PRIMARY, project=name)
    connection = psycopg2.connect(
        host=place["host"], port=place["port"], user=logins.MIGRATOR, password=PASSWORD, dbname="holdfast"
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE ROLE {logins.READONLY} NOLOGIN")
    finally:
        connection.close()
    _enforce(admin, "REQUIRED")


def _enforce(admin: Admin, enforcement: str) -> None:
    body = {"settings": {"connectorEnforcement": enforcement}}
    admin.well(admin.http.patch(f"instances/{PRIMARY}", json=body))


def _designate(admin: Admin, primary: Resource) -> list[str]:
    """What the provider says when it updates an instance, and not when it makes one."""
    body = requests.dr_replica(primary)
    admin.well(admin.http.patch(f"instances/{PRIMARY}", json=body))
    name = body["replicationCluster"]["failoverDrReplicaName"]
    assert admin.get(name)["replicationCluster"] == {"drReplica": True}
    return requests.missing(body, admin.get(PRIMARY))


def test_cloud_sql(cloud: Sandbox) -> None:
    with ThreadPoolExecutor() as pool:
        building = {
            stack: pool.submit(build, cloud, f"holdfast-{stack}", planned(stack, resolve=True)) for stack in STACKS
        }
        assert {stack: one.result() for stack, one in building.items()} == {stack: [] for stack in STACKS}
    # The one setting, on what is there.
    assert update(cloud, "holdfast-prod", planned("prod", resolve=True, changes=PLUS)) == []


def test_cloud_sql_by_private_service_connect(cloud: Sandbox) -> None:
    primary = only(planned("dev", resolve=True, changes=PSC), INSTANCE, PRIMARY)
    with project(cloud, "psc") as admin:
        assert _make(admin, PRIMARY, requests.sql_instance(primary, PRIMARY)) == []
        assert "ipAddresses" not in admin.get(PRIMARY) or admin.get(PRIMARY)["ipAddresses"] == []
        assert admin.http.get(f"instances/{PRIMARY}/connectSettings").json()["pscEnabled"]


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.update(edition="ENTERPRISE_PLUS"),
        lambda settings: settings.update(tier="db-n1-standard"),
        lambda settings: settings["backupConfiguration"].update(transactionLogRetentionDays=8),
        lambda settings: settings["ipConfiguration"].update(sslMod="ENCRYPTED_ONLY"),
        lambda settings: settings["databaseFlags"].append({"name": "work_men", "value": "1"}),
        lambda settings: settings.update(connectorEnforcement="MANDATORY"),
    ],
)
def test_cloud_sql_that_google_would_not_take(cloud: Sandbox, change: Callable[[dict[str, Any]], None]) -> None:
    primary = only(planned("prod", resolve=True), INSTANCE, PRIMARY)
    body = copy.deepcopy(requests.sql_instance(primary, "broken"))
    change(body["settings"])
    with project(cloud, "broken") as admin:
        answer = admin.http.post("instances", json=body)
        assert answer.status_code == 400, answer.text
        assert admin.http.get("instances").json().get("items", []) == []


@pytest.mark.parametrize("stack", STACKS)
def test_memorystore(cloud: Sandbox, stack: str) -> None:
    (cache,) = planned(stack, resolve=True).of_type(CACHE)
    body = requests.redis_instance(cache)
    assert requests.missing(body, make_cache(cloud, stack, cache.inputs["name"], body)) == []


@pytest.mark.parametrize(
    "change", [{"tier": "HA"}, {"transitEncryptionMode": "TLS"}, {"redisConfigs": {"maxmem": "1"}}]
)
def test_memorystore_that_google_would_not_take(cloud: Sandbox, change: dict[str, Any]) -> None:
    (cache,) = planned("prod", resolve=True).of_type(CACHE)
    with pytest.raises(HttpError):
        make_cache(cloud, "broken", "broken", requests.redis_instance(cache) | change)


def make_cache(cloud: Sandbox, project: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    locations = client("redis.v1", cloud["redis"]).projects().locations()
    parent = f"projects/{project}/locations/us-central1"
    begun = locations.instances().create(parent=parent, instanceId=name, body=body).execute()
    done = operation_done(lambda one: locations.operations().get(name=one), begun)
    assert "error" not in done, done
    found: dict[str, Any] = locations.instances().get(name=f"{parent}/instances/{name}").execute()
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_secrets(cloud: Sandbox, stack: str) -> None:
    for one in planned(stack, resolve=True).of_type(SECRET):
        body = requests.secret(one)
        assert requests.missing(body, make_secret(cloud, stack, one.inputs["secretId"], body)) == [], one.name


@pytest.mark.parametrize(
    "change", [{"topics": []}, {"rotation": {"rotationPeriod": "7776000s"}}, {"replication": {"userManaged": []}}]
)
def test_a_secret_that_google_would_not_take(cloud: Sandbox, change: dict[str, Any]) -> None:
    reminded = only(planned("prod", resolve=True), SECRET, "holdfast-migrator-url")
    with pytest.raises(HttpError):
        make_secret(cloud, "broken", "broken", requests.secret(reminded) | change)


def make_secret(cloud: Sandbox, project: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    secrets = client("secretmanager.v1", cloud["secretmanager"]).projects().secrets()
    made = secrets.create(parent=f"projects/{project}", secretId=name, body=body).execute()
    secrets.addVersion(parent=made["name"], body=requests.secret_version(b"value")).execute()
    found: dict[str, Any] = secrets.get(name=made["name"]).execute()
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_schedules(cloud: Sandbox, stack: str) -> None:
    parent = f"projects/{stack}/locations/us-central1"
    planned_jobs = planned(stack, resolve=True).of_type(JOB)
    assert planned_jobs
    for one in planned_jobs:
        body = requests.scheduler_job(one, parent)
        assert requests.missing(body, make_job(cloud, parent, body)) == [], one.name


@pytest.mark.parametrize("change", [{"schedule": "61 * * * *"}, {"timeZone": "Etc/GMTT"}, {"attemptDeadline": "2h"}])
def test_a_schedule_that_google_would_not_take(cloud: Sandbox, change: dict[str, Any]) -> None:
    parent = "projects/broken/locations/us-central1"
    body = requests.scheduler_job(planned("prod", resolve=True).of_type(JOB)[0], parent) | change
    with pytest.raises(HttpError):
        make_job(cloud, parent, body)


def make_job(cloud: Sandbox, parent: str, body: dict[str, Any]) -> dict[str, Any]:
    jobs = client("cloudscheduler.v1", cloud["cloudscheduler"]).projects().locations().jobs()
    jobs.create(parent=parent, body=body).execute()
    found: dict[str, Any] = jobs.get(name=body["name"]).execute()
    return found
