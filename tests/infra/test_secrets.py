"""Secrets: what shows of them, who reads them, and what happens when one is replaced."""

import datetime as dt
import json

import pytest

from runbooks.plan.model import Plan
from tests.contract.plans import STACKS, planned

SECRET = "gcp:secretmanager/secret:Secret"
VERSION = "gcp:secretmanager/secretVersion:SecretVersion"
READER = "gcp:secretmanager/secretIamMember:SecretIamMember"
PASSWORD = "random:index/randomPassword:RandomPassword"
OWN_KEYS = (("customer_managed_keys", "true"),)


def readers(plan: Plan) -> dict[str, set[str]]:
    """By secret: who has which role."""
    found: dict[str, set[str]] = {}
    for one in plan.of_type(READER):
        who = one.inputs["member"].split("@")[0].rpartition(":")[2]
        found.setdefault(one.inputs["secretId"].rpartition("/")[2], set()).add(f"{who} {one.inputs['role']}")
    return found


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("resolve", [True, False])
def test_no_secret_value_shows_anywhere_in_the_plan(stack: str, *, resolve: bool) -> None:
    plan = planned(stack, resolve=resolve)
    text = json.dumps(plan.document(), ensure_ascii=False)
    # What a resolved plan takes for a password, and for the cache's AUTH string.
    sentinels = [f"{one.name}-result" for one in plan.of_type(PASSWORD)] + ["holdfast-cache-authString"]
    assert len(sentinels) > 1
    assert [one for one in sentinels if one in text] == []
    assert {one.inputs["secretData"] for one in plan.of_type(VERSION)} == {"[secret]"}
    assert {one.inputs.get("password") for one in plan.of_type("gcp:sql/user:User")} == {"[secret]", None}


def test_each_secret_is_read_by_whom_it_is_for_alone() -> None:
    accessor, keeper = "roles/secretmanager.secretAccessor", "projects/holdfast-prod/roles/holdfast_secret_keeper"
    assert readers(planned("prod", resolve=True)) == {
        "holdfast-secret-key": {f"holdfast-api {accessor}"},
        "holdfast-cache-url": {f"holdfast-api {accessor}"},
        "holdfast-cache-authority": {f"holdfast-api {accessor}"},
        "holdfast-migrator-url": {f"holdfast-migrate {accessor}"},
        "holdfast-verifier-url": {f"holdfast-verify {accessor}"},
        "holdfast-operator-password": {f"holdfast-oncall {keeper}"},
        "holdfast-reader-url": {f"holdfast-oncall {keeper}"},
        "holdfast-instance": {
            *(f"holdfast-{duty} {accessor}" for duty in ("api", "jobs", "migrate", "verify")),
            f"holdfast-oncall {keeper}",
        },
    }


def test_what_a_procedure_has_written_is_not_made_anew_by_the_way() -> None:
    held = {one.name.removeprefix("holdfast-") for one in planned("prod").of_type(SECRET) if one.protect}
    assert held == {"secret-key", "operator-password", "reader-url", "instance"}
    assert not [one.name for one in planned("dev").of_type(SECRET) if one.protect]


@pytest.mark.parametrize("stack", STACKS)
def test_another_value_leaves_the_old_version_to_be_enabled_again(stack: str) -> None:
    assert {one.inputs["deletionPolicy"] for one in planned(stack).of_type(VERSION)} == {"DISABLE"}


def test_what_a_procedure_replaced_the_program_does_not_put_back() -> None:
    plan = planned("prod")
    left_alone = {one.name for one in plan.of_type(VERSION) if one.ignore_changes == ["secretData"]}
    assert left_alone == {"holdfast-operator-password", "holdfast-reader-url", "holdfast-instance"}
    users = {one.inputs["name"] for one in plan.of_type("gcp:sql/user:User") if one.ignore_changes == ["password"]}
    assert users == {"holdfast_operator", "holdfast_reader_a", "holdfast_reader_b"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_reminder_comes_for_each_but_the_signing_key_and_what_is_no_password(stack: str) -> None:
    plan = planned(stack, resolve=True, changes=(("secrets.rotation_days", "30"),))
    (topic,) = plan.of_type("gcp:pubsub/topic:Topic")
    (publisher,) = plan.of_type("gcp:pubsub/topicIAMMember:TopicIAMMember")
    assert publisher.inputs["role"] == "roles/pubsub.publisher"
    today = dt.datetime.now(dt.UTC).date()
    for one in plan.of_type(SECRET):
        if one.name in ("holdfast-secret-key", "holdfast-instance"):
            assert not {"rotation", "topics"} & one.inputs.keys()
            continue
        rotation = one.inputs["rotation"]
        assert rotation["rotationPeriod"] == "2592000s"
        # A test may begin before midnight.
        first = dt.datetime.fromisoformat(rotation["nextRotationTime"]).date()
        assert 29 <= (first - today).days <= 30
        assert one.ignore_changes == ["rotation.nextRotationTime"]
        assert one.inputs["topics"] == [{"name": f"projects/holdfast-{stack}/topics/{topic.inputs['name']}"}]
        assert publisher.urn in one.depends_on


def test_every_secret_is_in_both_regions_with_a_key_of_each() -> None:
    for changes, keys in ((), [None, None]), (OWN_KEYS, ["holdfast-key-secrets", "holdfast-key-secrets-dr"]):
        for one in planned("prod", resolve=True, changes=changes).of_type(SECRET):
            replicas = one.inputs["replication"]["userManaged"]["replicas"]
            assert [replica["location"] for replica in replicas] == ["us-central1", "us-east1"]
            found = [replica.get("customerManagedEncryption", {}).get("kmsKeyName") for replica in replicas]
            assert [key and key.rpartition("/")[2] for key in found] == keys


def test_a_password_is_as_long_as_who_takes_it_wants_it() -> None:
    plan = planned("prod")
    lengths = {one.name.removeprefix("holdfast-"): one.inputs["length"] for one in plan.of_type(PASSWORD)}
    assert lengths.pop("secret-key") >= 32
    (policy,) = (
        one.inputs["settings"]["passwordValidationPolicy"]
        for one in plan.of_type("gcp:sql/databaseInstance:DatabaseInstance")
        if one.name == "holdfast-database"
    )
    assert min(lengths.values()) >= policy["minLength"]


def test_the_signing_key_is_not_made_anew() -> None:
    (key,) = (one for one in planned("prod").of_type(PASSWORD) if one.name == "holdfast-secret-key")
    assert key.protect
    assert "keepers" not in key.inputs
