"""What `holdfast plan` reads from a program, with no cloud, no credentials and no pulumi command."""

import json
import time
from pathlib import Path

import pytest

from runbooks.plan.errors import PlanError
from runbooks.plan.evaluate import evaluate
from runbooks.plan.model import Plan, Resource, documents
from runbooks.plan.project import Project
from tests.infra.programs.writing import write

NESTED = Path(__file__).parent / "programs" / "nested"
PASSWORD = "100%@\"p'w:ä"
DATABASE = "test:platform:Platform$test:database:Database"


@pytest.fixture(scope="module")
def dev() -> Plan:
    return evaluate(Project(NESTED), "dev")


@pytest.fixture(scope="module")
def resolved() -> Plan:
    return evaluate(Project(NESTED), "dev", resolve=True)


def only(plan: Plan, type_: str) -> Resource:
    (found,) = plan.of_type(type_)
    return found


def test_a_urn_has_every_ancestors_type_but_the_stacks(dev: Plan) -> None:
    urns = [one.urn for one in dev.resources]
    assert urns == sorted(urns)
    assert f"urn:pulumi:dev::holdfast::{DATABASE}$test:database:Users$gcp:sql/user:User::owner" in urns
    assert f"urn:pulumi:dev::holdfast::{DATABASE}$gcp:sql/databaseInstance:DatabaseInstance::primary" in urns
    assert "urn:pulumi:dev::holdfast::gcp:serviceaccount/account:Account::api" in urns
    assert "urn:pulumi:dev::holdfast::pulumi:pulumi:Stack::holdfast-dev" in urns


def test_every_option_of_a_resource_is_kept() -> None:
    primary = only(evaluate(Project(NESTED), "prod"), "gcp:sql/databaseInstance:DatabaseInstance")
    network = "urn:pulumi:prod::holdfast::test:platform:Platform$gcp:compute/network:Network::network"
    assert primary.protect
    assert primary.parent == f"urn:pulumi:prod::holdfast::{DATABASE}::database"
    assert primary.depends_on == [network]
    assert primary.property_dependencies == {"settings": [network]}
    assert primary.ignore_changes == ["settings.diskSize"]
    assert primary.replace_on_changes == ["databaseVersion"]
    assert primary.custom_timeouts == {"create": "60m"}
    assert primary.aliases == [f"urn:pulumi:prod::holdfast::{DATABASE}$gcp:sql/databaseInstance:DatabaseInstance::main"]


def test_settings_are_the_stacks_over_the_projects_defaults(dev: Plan) -> None:
    primary = only(dev, "gcp:sql/databaseInstance:DatabaseInstance")
    assert primary.inputs["settings"]["tier"] == "db-f1-micro"
    assert primary.inputs["settings"]["diskSize"] == 10
    assert not primary.protect
    prod = only(evaluate(Project(NESTED), "prod"), "gcp:sql/databaseInstance:DatabaseInstance")
    assert prod.inputs["settings"]["tier"] == "db-custom-2-8192"


@pytest.mark.parametrize("kind", ["dev", "resolved"])
def test_a_secret_is_masked_wherever_it_goes(kind: str, request: pytest.FixtureRequest) -> None:
    plan: Plan = request.getfixturevalue(kind)
    assert only(plan, "gcp:sql/user:User").inputs["password"] == "[secret]"
    assert only(plan, "gcp:secretmanager/secretVersion:SecretVersion").inputs["secretData"] == "[secret]"
    (container,) = only(plan, "gcp:cloudrunv2/service:Service").inputs["template"]["containers"]
    assert container["envs"] == [{"name": "PASSWORD", "value": "[secret]"}]
    assert plan.outputs()["password"] == "[secret]"
    text = json.dumps(plan.document(), ensure_ascii=False)
    assert PASSWORD not in text
    assert PASSWORD.upper() not in text


def test_what_only_the_cloud_knows_is_marked_and_no_one_is_asked(dev: Plan) -> None:
    assert only(dev, "gcp:projects/iAMMember:IAMMember").inputs["member"] == "[unknown]"
    assert dev.outputs()["connection"] == "[unknown]"
    assert [(one.token, one.args) for one in dev.unresolved] == [
        ("gcp:organizations/getProject:getProject", {"projectId": "p"})
    ]
    exports, state = dev.of_type("gcp:storage/bucket:Bucket")
    assert exports.inputs["labels"] == {"number": "[unknown]"}
    assert (state.read, state.import_id) == (True, "state-of-holdfast")


def test_resolved_strings_are_whole(resolved: Plan) -> None:
    member = only(resolved, "gcp:projects/iAMMember:IAMMember").inputs["member"]
    assert member == "serviceAccount:api@holdfast-dev.iam.gserviceaccount.com"
    assert resolved.outputs()["connection"] == "holdfast-dev:us-central1:primary"
    exports, _ = resolved.of_type("gcp:storage/bucket:Bucket")
    assert exports.inputs["labels"]["number"].isdigit()
    assert "[unknown]" not in json.dumps(resolved.document())
    assert [one.token for one in resolved.unresolved] == ["gcp:organizations/getProject:getProject"]


def test_an_evaluation_leaves_nothing_for_the_next(dev: Plan) -> None:
    evaluate(Project(NESTED), "prod", resolve=True)
    assert evaluate(Project(NESTED), "dev") == dev


def test_a_plan_is_quick() -> None:
    began = time.monotonic()
    evaluate(Project(NESTED), "dev")
    assert time.monotonic() - began < 3


def test_a_plan_is_its_own_json(dev: Plan) -> None:
    assert documents.validate_python(dev.document()) == dev.resources


FAILING = {
    "1 / 0": "the program failed: ZeroDivisionError: division by zero (__main__.py:3)",
    "raise SystemExit('no')": "the program ended with 'no'",
    "raise pulumi.RunError('two\\nlines')": "two lines",
    "pulumi.log.error('it is wrong')": "it is wrong",
    "from infra.errors import ConfigError\nraise ConfigError('database.tier: is no tier')": "database.tier: is no tier",
    "for _ in range(2): gcp.storage.Bucket('b', location='US')": (
        "two resources have one URN: urn:pulumi:dev::holdfast::gcp:storage/bucket:Bucket::b"
    ),
    "pulumi.Output.from_input('x').apply(lambda x: int(x))": (
        "the program failed: ValueError: invalid literal for int() with base 10: 'x' (__main__.py:3)"
    ),
    "gcp.organizations.get_project()": (
        "the program cannot go on before the cloud has answered gcp:organizations/getProject:getProject; "
        "use the function that ends in _output"
    ),
}


@pytest.mark.parametrize(("program", "line"), FAILING.items())
def test_a_failing_program_is_one_line(tmp_path: Path, program: str, line: str) -> None:
    with pytest.raises(PlanError) as raised:
        evaluate(write(tmp_path, program), "dev")
    assert str(raised.value) == line


def test_after_a_failure_the_next_evaluation_is_whole(tmp_path: Path, dev: Plan) -> None:
    with pytest.raises(PlanError):
        evaluate(write(tmp_path, "gcp.storage.Bucket('b', location='US')\nraise ValueError"), "dev")
    assert evaluate(Project(NESTED), "dev") == dev


def test_a_secret_of_a_nested_provider_stays_one(tmp_path: Path) -> None:
    program = """
        provider = gcp.Provider("other", project="p", access_token=pulumi.Output.secret("hunter2"))
        gcp.storage.Bucket("b", location="US", opts=pulumi.ResourceOptions(provider=provider))
    """
    plan = evaluate(write(tmp_path, program), "dev")
    assert "hunter2" not in json.dumps(plan.document())
    provider = only(plan, "pulumi:providers:gcp")
    assert (only(plan, "gcp:storage/bucket:Bucket").provider or "").startswith(provider.urn)


def test_what_the_cloud_answers_in_secret_and_what_is_read_stay_secret(tmp_path: Path) -> None:
    program = """
        cache = gcp.redis.Instance("r", memory_size_gb=1)
        gcp.storage.Bucket("b", location="US", labels={"auth": cache.auth_string})
        gcp.sql.User.get("u", "u", password=pulumi.Output.secret("hunter2"))
    """
    plan = evaluate(write(tmp_path, program), "dev", resolve=True)
    assert only(plan, "gcp:storage/bucket:Bucket").inputs["labels"] in ("[secret]", {"auth": "[secret]"})
    assert only(plan, "gcp:sql/user:User").inputs["password"] == "[secret]"


def test_what_only_the_engine_can_run_is_refused(tmp_path: Path) -> None:
    program = "gcp.storage.Bucket('b', location='US', opts=pulumi.ResourceOptions(transforms=[lambda _: None]))"
    with pytest.raises(PlanError, match="transforms"):
        evaluate(write(tmp_path, program), "dev")
