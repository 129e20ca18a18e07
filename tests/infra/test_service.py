"""The service and its images: what is closed, what is by reference, and what a revision is named by."""

import pytest

from runbooks.plan.model import Plan, Resource
from runbooks.plan.sdk import importing
from tests.contract.plans import STACKS, planned
from tests.contract.workloads import OTHER_JOBS, OTHER_SERVICE, SERVICE, container_of, only

REPOSITORY = "gcp:artifactregistry/repository:Repository"


def service(plan: Plan) -> Resource:
    return only(plan, SERVICE)


def revision(changes: tuple[tuple[str, str], ...] = ()) -> str:
    """The name of production's revision."""
    name: str = service(planned("prod", resolve=True, changes=changes)).inputs["template"]["revision"]
    return name


def test_production_is_reached_by_its_balancer_alone() -> None:
    inputs = service(planned("prod", resolve=True)).inputs
    assert inputs["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    assert inputs["defaultUriDisabled"]
    assert inputs["deletionProtection"]
    assert inputs["scaling"] == {"minInstanceCount": 1, "maxInstanceCount": 10}


def test_without_a_balancer_it_has_its_own_address() -> None:
    inputs = service(planned("dev", resolve=True)).inputs
    assert (inputs["ingress"], inputs["defaultUriDisabled"]) == ("INGRESS_TRAFFIC_ALL", False)


@pytest.mark.parametrize("stack", STACKS)
def test_it_goes_to_private_addresses_by_the_network_as_its_own_account(stack: str) -> None:
    template = service(planned(stack, resolve=True)).inputs["template"]
    assert template["serviceAccount"] == f"holdfast-api@holdfast-{stack}.iam.gserviceaccount.com"
    assert template["vpcAccess"]["egress"] == "PRIVATE_RANGES_ONLY"
    (interface,) = template["vpcAccess"]["networkInterfaces"]
    assert interface["subnetwork"].endswith("/holdfast-service")


@pytest.mark.parametrize("stack", STACKS)
def test_no_secret_is_in_the_template(stack: str) -> None:
    envs = {one["name"]: one for one in container_of(service(planned(stack, resolve=True)))["envs"]}
    assert {name for name, one in envs.items() if "value" not in one} == {"SECRET_KEY", "REDIS_URL", "GCP_SQL_INSTANCE"}
    assert "[secret]" not in str(envs)


def test_an_instance_is_asked_whether_it_lives_and_not_whether_the_database_does() -> None:
    container = container_of(service(planned("prod", resolve=True)))
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe")}
    assert paths == {"/health/live"}
    # Longer than the API itself waits: a connection, and a statement.
    assert service(planned("prod", resolve=True)).inputs["template"]["timeout"] == "70s"


def test_the_same_settings_have_the_same_revision_and_others_another() -> None:
    assert revision() == revision(OTHER_JOBS)
    assert revision() != revision(OTHER_SERVICE)
    assert len(revision()) <= 63


def test_its_keys_are_ones_own_where_that_is_asked_for() -> None:
    plan = planned("prod", resolve=True, changes=OTHER_SERVICE)
    assert service(plan).inputs["template"]["encryptionKey"].endswith("/holdfast-key-service")
    assert only(plan, REPOSITORY).inputs["kmsKeyName"].endswith("/holdfast-key-registry")


@pytest.mark.parametrize("stack", STACKS)
def test_without_an_image_there_is_a_place_for_one_and_nothing_runs(stack: str) -> None:
    plan = planned(stack, image=False)
    assert not [one for one in plan.resources if "cloudrunv2" in one.type or "cloudscheduler" in one.type]
    inputs = only(plan, REPOSITORY).inputs
    assert (inputs["format"], inputs["dockerConfig"]) == ("DOCKER", {"immutableTags": True})
    kept = next(one for one in inputs["cleanupPolicies"] if one["action"] == "KEEP")
    assert kept["mostRecentVersions"] == {"keepCount": 20}
    (untagged,) = (one for one in inputs["cleanupPolicies"] if one.get("condition", {}).get("tagState") == "UNTAGGED")
    assert untagged["condition"]["olderThan"] == f"{14 * 86_400}s"


def test_a_migration_that_failed_stops_a_later_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with importing():
        import pulumi  # noqa: PLC0415
        from pulumi_gcp.cloudrunv2.outputs import GetJobTerminalConditionResult as Condition  # noqa: PLC0415

        from infra.components import migration  # noqa: PLC0415

    def condition(state: str) -> Condition:
        given = dict.fromkeys(("execution_reason", "last_transition_time", "message", "reason"), "")
        return Condition(**given, revision_reason="", severity="", type="Ready", state=state)

    parts = ["holdfast-migrate", "1a2b", [condition("CONDITION_FAILED")]]
    # The preview of the run that mends it.
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    assert migration.succeeded(parts) == "holdfast-migrate-1a2b"
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(pulumi.RunError, match=r"holdfast-migrate-1a2b failed.*jobs\.migrate\.attempt"):
        migration.succeeded(parts)
    assert migration.succeeded([*parts[:2], [condition("CONDITION_SUCCEEDED")]]) == "holdfast-migrate-1a2b"
