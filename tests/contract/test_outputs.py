"""The stack's outputs are what procedures take for their target."""

import json
import re
from typing import Any

import jsonschema
import pytest

from infra import tunnel
from infra.logins import OPERATOR
from runbooks.connect.way import way_into
from runbooks.engine.target import Target, parse
from tests.contract.plans import ROOT, STACKS, planned

SCHEMA = json.loads((ROOT / "runbooks" / "target.schema.json").read_text())


SECRETS = "projects/holdfast-prod/secrets"


def output(stack: str, *changes: tuple[str, str], image: bool = True) -> dict[str, Any]:
    return planned(stack, image=image, resolve=True, changes=changes).outputs()["target"]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("image", [True, False])
def test_the_output_is_a_target(stack: str, *, image: bool) -> None:
    found = output(stack, image=image)
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    target = parse(json.dumps(found), stack)
    assert (target.stack, target.name) == (stack, stack)
    assert target.operator.user == OPERATOR


@pytest.mark.parametrize("wrong", [{"instance": ""}, {"operator": {}}, {"version": 2}, {"zone": "a"}])
def test_one_that_lacks_or_adds_something_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**output("prod"), **wrong}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_what_it_names_is_what_the_plan_makes() -> None:
    assert unknown_names(output("prod")) == []


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"instance": "other"}, ["other"]),
        ({"dr_replica": "other"}, ["other"]),
        ({"database": "other"}, ["other"]),
        ({"operator": {"user": "other", "secret": f"{SECRETS}/other"}}, ["other", f"{SECRETS}/other"]),
        (
            {"logins": [{"name": "reader", "users": ["one", "two"], "secret": f"{SECRETS}/other"}]},
            ["one", "two", f"{SECRETS}/other"],
        ),
        ({"services": [{"name": "api", "secret": f"{SECRETS}/other"}]}, [f"{SECRETS}/other"]),
    ],
)
def test_a_name_that_nobody_makes_is_noticed(wrong: dict[str, Any], names: list[str]) -> None:
    assert unknown_names({**output("prod"), **wrong}) == names


def unknown_names(found: dict[str, Any]) -> list[str]:
    """What a target names and the plan of prod does not make."""
    plan = planned("prod", resolve=True)
    made = {
        *(one.inputs.get("name", one.name) for one in plan.of_type("gcp:sql/databaseInstance:DatabaseInstance")),
        *(one.inputs["name"] for one in plan.of_type("gcp:sql/database:Database")),
        *(one.inputs["name"] for one in plan.of_type("gcp:sql/user:User")),
        *(
            f"projects/{found['project']}/secrets/{one.inputs['secretId']}"
            for one in plan.of_type("gcp:secretmanager/secret:Secret")
        ),
        *(
            f"projects/{found['project']}/locations/{one.inputs['location']}/services/{one.inputs['name']}"
            for one in plan.of_type("gcp:cloudrunv2/service:Service")
        ),
    }
    target = Target.model_validate_json(json.dumps(found))
    named = [target.instance, target.dr_replica, target.database, target.operator.user, target.operator.secret]
    for login in target.logins:
        named += [*login.users, login.secret]
    for service in target.services:
        named += [service.secret, service.service]
    return [name for name in named if name is not None and name not in made]


def test_each_instance_is_in_the_region_that_the_target_says() -> None:
    found = output("prod")
    made = planned("prod", resolve=True).of_type("gcp:sql/databaseInstance:DatabaseInstance")
    regions = {one.inputs.get("name", one.name): one.inputs["region"] for one in made}
    assert (regions[found["instance"]], regions[found["dr_replica"]]) == (found["region"], found["dr_region"])


def test_the_operators_way_is_the_one_that_holdfast_connect_opens() -> None:
    assert output("prod")["operator"]["secret"] == f"projects/holdfast-prod/secrets/{way_into('prod', ROOT).secret}"
    by_connector = {"via": "connector", "ip_type": "private"}
    assert output("prod")["connection"] == {**by_connector, "through": tunnel.through()}
    assert output("prod", ("access.bastion", "false"))["connection"] == by_connector


def test_production_says_all_that_a_procedure_reads_of_its_target() -> None:
    assert set(read_by_procedures()) >= {"dr_region", "dr_replica", "instance", "logins", "operator", "stack"}
    assert absent(output("prod")) == []


@pytest.mark.parametrize("lost", ["dr_region", "dr_replica", "logins", "services", "stack"])
def test_one_that_it_does_not_say_is_noticed(lost: str) -> None:
    assert absent({name: value for name, value in output("prod").items() if name != lost}) == [lost]


def read_by_procedures() -> list[str]:
    """The fields of a target that the procedures' code reads."""
    code = "".join(path.read_text() for path in (ROOT / "runbooks" / "procedures").rglob("*.py"))
    return sorted(set(re.findall(r"\btarget\.(\w+)", code)) & Target.model_fields.keys())


def absent(found: dict[str, Any]) -> list[str]:
    """What procedures read and a target does not say. Objectives have defaults; endpoints are Google's."""
    return [name for name in read_by_procedures() if name not in {"objectives", "endpoints"} and not found.get(name)]
