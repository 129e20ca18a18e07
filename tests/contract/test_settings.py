"""What the plan tells the service and each job is what the runtime reads, and its pools fit the database."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infra import logins, stack_files, urls
from infra.config import load
from infra.tiers import tier_of
from runbooks.plan.model import Plan, Resource
from runtime import settings
from runtime.errors import ConfigurationError
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import JOB, OTHER_SERVICE, SERVICE, changed, container_of, only, programs

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
SECRET = "gcp:secretmanager/secret:Secret"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
BUCKET = "gcp:storage/bucket:Bucket"
POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
READER = "gcp:secretmanager/secretIamMember:SecretIamMember"
HOSTILE = "p%40:/?#@w'ä"
CONNECTION = "holdfast-prod:us-central1:holdfast-database-1a2b"
# What the plan stores is hidden in it: here it is made as the program makes it.
STORED = {
    "holdfast-secret-key": "k" * 64,
    "holdfast-cache-url": urls.cache_url(HOSTILE, "10.20.0.3", 6378),
    "holdfast-instance": CONNECTION,
    "holdfast-migrator-url": urls.duty_url(logins.MIGRATOR, HOSTILE, "holdfast"),
    "holdfast-verifier-url": urls.duty_url(logins.VERIFIER, HOSTILE, "holdfast"),
}


def kind_of(command: str) -> type[settings.Settings]:
    """Which settings a command reads."""
    return settings.ApiSettings if command == "serve" else settings.Settings


def faults(plan: Plan, resource: Resource, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why a program of the plan would not start, or would not do what it is told."""
    container = container_of(resource)
    kind = kind_of(container["args"][0])
    lines = []
    with monkeypatch.context() as shell:
        for variable in container["envs"]:
            if variable["name"].lower() not in kind.model_fields:
                lines.append(f"{variable['name']} is no setting")
            reference = variable.get("valueSource", {}).get("secretKeyRef")
            if reference is None:
                shell.setenv(variable["name"], variable["value"])
                continue
            lines += secret_faults(plan, resource, reference["secret"])
            shell.setenv(variable["name"], STORED[reference["secret"]])
        try:
            settings.load(kind)
        except ConfigurationError as error:
            lines += str(error).splitlines()
    return lines


def secret_faults(plan: Plan, resource: Resource, secret: str) -> list[str]:
    """Why a program cannot have a secret."""
    made = [one for one in plan.of_type(SECRET) if one.inputs["secretId"] == secret]
    if not made:
        return [f"there is no secret {secret}"]
    template = resource.inputs["template"]
    who = (template if resource.type == SERVICE else template["template"])["serviceAccount"]
    readers = [one.inputs["member"] for one in plan.of_type(READER) if one.inputs["secretId"].endswith(f"/{secret}")]
    has_version = any(one.inputs["secret"].endswith(f"/{secret}") for one in plan.of_type(VERSION))
    return [
        *([] if f"serviceAccount:{who}" in readers else [f"{who} may not read {secret}"]),
        *([] if has_version else [f"{secret} has no version"]),
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_the_service_and_each_job_starts_with_what_it_is_told(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(stack, resolve=True)
    ran = programs(plan)
    assert {"serve", "migrate", "partitions", "verify-backup", "publish-metrics", "recovery-marker"} <= set(ran)
    for command, resource in ran.items():
        assert faults(plan, resource, monkeypatch) == [], command


def test_what_a_stack_says_besides_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned("prod", resolve=True, changes=OTHER_SERVICE)
    service = only(plan, SERVICE)
    assert faults(plan, service, monkeypatch) == []
    told = {variable["name"]: variable.get("value") for variable in container_of(service)["envs"]}
    assert told["CORS_ORIGINS"] == "https://app.example.com"
    assert "https://securetoken.google.com/p" in told["OIDC_PROVIDERS"]


def test_every_job_of_the_settings_is_made() -> None:
    stack = load(stack_files.read("prod", stack_files.ROOT))
    jobs = {one.command for one in stack.jobs.all.values()}
    assert {command for command, one in programs(planned("prod")).items() if one.type == JOB} == jobs


def renamed(envs: list[dict[str, Any]]) -> None:
    for variable in envs:
        variable["name"] = variable["name"].replace("DB_USER", "DB_USERNAME")


def without_key(envs: list[dict[str, Any]]) -> None:
    envs[:] = [variable for variable in envs if variable["name"] != "SECRET_KEY"]


def too_many_workers(envs: list[dict[str, Any]]) -> None:
    for variable in envs:
        if variable["name"] == "MAX_WORKERS":
            variable["value"] = "64"


def anothers_secret(envs: list[dict[str, Any]]) -> None:
    for variable in envs:
        if variable["name"] == "SECRET_KEY":
            variable["valueSource"]["secretKeyRef"]["secret"] = "holdfast-migrator-url"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (renamed, "DB_USERNAME is no setting"),
        (without_key, "SECRET_KEY: not set"),
        (too_many_workers, "MAX_WORKERS: 64 workers cannot share DB_POOL_MAX, 30"),
        (anothers_secret, "may not read holdfast-migrator-url"),
    ],
)
def test_a_change_of_one_side_is_seen(
    change: Callable[[list[dict[str, Any]]], None], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = changed(planned("prod", resolve=True))
    service = only(plan, SERVICE)
    change(container_of(service)["envs"])
    assert any(line in fault for fault in faults(plan, service, monkeypatch))


def told(resource: Resource) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container_of(resource)["envs"]}


def test_what_the_service_is_told_is_what_the_plan_makes() -> None:
    plan = planned("prod", resolve=True)
    service = only(plan, SERVICE)
    says = told(service)
    assert says["API_HOST"] == "0.0.0.0"  # noqa: S104  # the container's own
    assert says["API_PORT"] == str(container_of(service)["ports"]["containerPort"])
    assert (says["GOOGLE_CLOUD_PROJECT"], says["GOOGLE_CLOUD_REGION"]) == ("holdfast-prod", service.inputs["location"])
    assert says["ARCHIVE_URL"] == f"gs://{only(plan, BUCKET, 'holdfast-archive').inputs['name']}"


def test_the_figures_of_secrets_and_backups_are_of_those_that_the_plan_makes() -> None:
    plan = planned("prod", resolve=True)
    says = told(programs(plan)["publish-metrics"])
    reminded = {
        one.inputs["secretId"]: one.inputs["rotation"] for one in plan.of_type(SECRET) if "rotation" in one.inputs
    }
    # Google replaces the authority.
    assert set(says["ROTATED_SECRETS"].split(",")) == reminded.keys() - {"holdfast-cache-authority"}
    assert {one["rotationPeriod"] for one in reminded.values()} == {f"{int(says['SECRET_ROTATION_DAYS']) * 86_400}s"}
    (stale,) = only(plan, POLICY, "holdfast-backup-stale").inputs["conditions"]
    for command in ("publish-metrics", "verify-backup"):
        hours = int(told(programs(plan)[command])["VERIFY_STALE_HOURS"])
        assert stale["conditionThreshold"]["thresholdValue"] == hours * 3600


def connections(plan: Plan, stack: str) -> tuple[int, int]:
    """What the plan's programs hold together at most, and what its instance takes."""
    service = only(plan, SERVICE)
    # A revision's own number would be beside the service's, and not below it.
    assert "scaling" not in service.inputs["template"]
    told = {variable["name"]: variable.get("value") for variable in container_of(service)["envs"]}
    held = service.inputs["scaling"]["maxInstanceCount"] * int(told["DB_POOL_MAX"])
    config = load(stack_files.read(stack, stack_files.ROOT))
    by_command = {one.command: one.connections for one in config.jobs.all.values()}
    held += sum(by_command[command] for command, one in programs(plan).items() if one.type == JOB)
    instance = next(one for one in plan.of_type(INSTANCE) if one.name == "holdfast-database").inputs["settings"]
    flags = {flag["name"]: flag["value"] for flag in instance["databaseFlags"]}
    return held, int(flags.get("max_connections", tier_of(instance["tier"]).max_connections))


@pytest.mark.parametrize("stack", STACKS)
def test_all_pools_together_fit_the_database(stack: str) -> None:
    held, most = connections(planned(stack, resolve=True), stack)
    # Three are the superuser's.
    assert held <= most - 3


def test_one_instance_more_than_fits_is_seen() -> None:
    plan = changed(planned("prod", resolve=True))
    only(plan, SERVICE).inputs["scaling"]["maxInstanceCount"] = 14
    held, most = connections(plan, "prod")
    assert held > most


def test_a_revision_has_the_file_that_the_caches_address_names() -> None:
    for stack in STACKS:
        template = only(planned(stack, resolve=True), SERVICE).inputs["template"]
        ((volume,), (mount,)) = template["volumes"], template["containers"][0]["volumeMounts"]
        assert volume["name"] == mount["name"]
        # Whoever it runs as may read it, and a new authority is there after a restart.
        assert volume["secret"]["defaultMode"] & 0o004
        assert [item["version"] for item in volume["secret"]["items"]] == ["latest"]
        file = f"{mount['mountPath']}/{volume['secret']['items'][0]['path']}"
        query = parse_qs(urlsplit(STORED["holdfast-cache-url"]).query)
        assert query["ssl_ca_certs"] == [file]
