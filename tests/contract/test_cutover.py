"""What a cut-over moves is all that says where the database is: no part of the plan knows it otherwise.

The procedures move what the target names; the runtime reads what the plan tells it.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra import logins, urls
from runbooks.engine.target import Service, Target
from runbooks.plan.model import Plan, Resource
from runtime.settings import Settings
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import JOB, SERVICE, changed, container_of, only, programs

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
TOLD = "GCP_SQL_INSTANCE"
# Of the secrets that a program is told, those that name a database: as the program makes them.
URLS = {
    "holdfast-migrator-url": urls.duty_url(logins.MIGRATOR, "p@s", "holdfast"),
    "holdfast-verifier-url": urls.duty_url(logins.VERIFIER, "p@s", "holdfast"),
}


def target_of(plan: Plan) -> Target:
    """What procedures are told of the plan."""
    return Target.model_validate_json(json.dumps(plan.outputs()["target"]))


def stuck(plan: Plan, target: Target) -> list[str]:
    """What would stay with the old instance after a cut-over, or would not read that it is another."""
    return [line for one in programs(plan).values() for line in _stuck(plan, target, one)]


def _stuck(plan: Plan, target: Target, resource: Resource) -> list[str]:
    moved = _moved(target, resource)
    lines = [] if moved else [f"the target names nothing that moves {resource.name}"]
    # What a resolved plan takes for their connection names begins with them.
    names = [one.name for one in plan.of_type(INSTANCE)]
    for variable in container_of(resource)["envs"]:
        reference = variable.get("valueSource", {}).get("secretKeyRef")
        if any(name in str(variable.get("value")) for name in names):
            lines.append(f"{resource.name}: {variable['name']} is the instance's name, for good")
        if variable["name"] == TOLD and moved and reference != {"secret": _own(moved.secret), "version": "latest"}:
            lines.append(f"{resource.name}: {TOLD} is not what the target's {moved.name} moves")
    return lines if any(one["name"] == TOLD for one in container_of(resource)["envs"]) else [*lines, "nothing tells it"]


def _moved(target: Target, resource: Resource) -> Service | None:
    """The part of the target that moves a service, or all jobs."""
    for one in target.services:
        if one.service is None if resource.type == JOB else _own(one.service or "") == resource.inputs["name"]:
            return one
    return None


def _own(name: str) -> str:
    return name.rpartition("/")[2]


@pytest.mark.parametrize("stack", STACKS)
def test_the_service_and_each_job_reads_what_procedures_move(stack: str) -> None:
    plan = planned(stack, resolve=True)
    assert len(programs(plan)) > 5
    assert stuck(plan, target_of(plan)) == []


def test_without_an_image_there_is_nobody_to_be_moved_and_the_pointer_is_there() -> None:
    plan = planned("prod", image=False, resolve=True)
    assert target_of(plan).services == ()
    assert only(plan, "gcp:secretmanager/secretVersion:SecretVersion", "holdfast-instance")


def as_a_value(container: dict[str, Any]) -> None:
    container["envs"] = [one for one in container["envs"] if one["name"] != TOLD]
    container["envs"].append({"name": TOLD, "value": "holdfast-database-connectionName"})


def of_another(container: dict[str, Any]) -> None:
    (told,) = (one for one in container["envs"] if one["name"] == TOLD)
    told["valueSource"]["secretKeyRef"]["secret"] = "holdfast-reader-url"


def of_a_version(container: dict[str, Any]) -> None:
    (told,) = (one for one in container["envs"] if one["name"] == TOLD)
    told["valueSource"]["secretKeyRef"]["version"] = "1"


@pytest.mark.parametrize("change", [as_a_value, of_another, of_a_version])
@pytest.mark.parametrize("kind", [SERVICE, JOB])
def test_a_plan_that_would_keep_one_with_the_old_instance_is_noticed(
    change: Callable[[dict[str, Any]], None], kind: str
) -> None:
    plan = changed(planned("prod", resolve=True))
    one = plan.of_type(kind)[0]
    change(container_of(one))
    assert any(line.startswith(f"{one.name}: {TOLD}") for line in stuck(plan, target_of(plan)))


def test_a_target_that_does_not_name_one_is_noticed() -> None:
    plan = planned("prod", resolve=True)
    target = target_of(plan)
    for left in target.services:
        others = tuple(one for one in target.services if one is not left)
        lines = stuck(plan, target.model_copy(update={"services": others}))
        assert {line.startswith("the target names nothing that moves holdfast-") for line in lines} == {True}


@pytest.mark.parametrize("secret", URLS)
def test_a_dutys_url_follows_the_pointer(secret: str) -> None:
    plan = planned("prod", resolve=True)
    # The program's own value is not the instance's: it does not wait for it.
    version = only(plan, "gcp:secretmanager/secretVersion:SecretVersion", secret)
    database = only(plan, INSTANCE, "holdfast-database").urn
    assert database not in version.property_dependencies["secretData"]
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        gcp_sql_instance="p:r:new",
        db_user="one",
        migration_database_url=URLS[secret],  # type: ignore[arg-type]
    )
    assert settings.url_for("migration").query["host"] == "/cloudsql/p:r:new"


def test_the_readers_url_is_the_instances_and_the_target_moves_it() -> None:
    plan = planned("prod", resolve=True)
    version = only(plan, "gcp:secretmanager/secretVersion:SecretVersion", "holdfast-reader-url")
    assert only(plan, INSTANCE, "holdfast-database").urn in version.property_dependencies["secretData"]
    assert [_own(one.secret) for one in target_of(plan).logins] == ["holdfast-reader-url"]
