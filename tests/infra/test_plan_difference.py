"""What would change from one plan to another."""

from pathlib import Path
from typing import Any

import pytest

from runbooks.plan.difference import Action, differences
from runbooks.plan.evaluate import evaluate
from runbooks.plan.model import Resource
from runbooks.plan.project import Project
from tests.infra.programs.writing import write

NESTED = Path(__file__).parent / "programs" / "nested"
PART = """
class Part(pulumi.ComponentResource):
    def __init__(self, kind: str, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(kind, name, None, opts)
        gcp.storage.Bucket(name + "-b", location="US", opts=pulumi.ResourceOptions(parent=self))

whole = pulumi.ComponentResource("test:a:Whole", "whole")
"""
INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
SUBNET = "gcp:compute/subnetwork:Subnetwork"


def made(name: str, inputs: dict[str, Any], type_: str = INSTANCE, stack: str = "dev", **options: Any) -> Resource:
    urn = f"urn:pulumi:{stack}::holdfast::{type_}::{name}"
    return Resource(urn=urn, type=type_, name=name, custom=True, inputs=inputs, **options)


def of_network(name: str | None) -> dict[str, Any]:
    return {"settings": {"ipConfiguration": {"privateNetwork": name} if name else {}}}


def test_a_plan_does_not_differ_from_itself() -> None:
    resources = evaluate(Project(NESTED), "dev").resources
    assert differences(resources, resources) == []


def test_stacks_are_compared_by_what_is_within_them() -> None:
    project = Project(NESTED)
    found = differences(evaluate(project, "dev").resources, evaluate(project, "prod").resources)
    assert [(one.action, one.name) for one in found] == [(Action.UPDATE, "primary"), (Action.UPDATE, "database")]
    assert [(change.path, change.before, change.after) for change in found[0].changes] == [
        ("settings.tier", "db-f1-micro", "db-custom-2-8192"),
        ("(protect)", False, True),
    ]


def test_what_needs_eyes_comes_first() -> None:
    before = [
        made("updated", {"settings": {"tier": "a"}}),
        made("deleted", {}),
        made("replaced", {"region": "us-central1"}),
        made("held", {}, protect=True),
        made("held-and-replaced", {"region": "us-central1"}, protect=True),
    ]
    after = [
        made("created", {}, stack="prod"),
        made("updated", {"settings": {"tier": "b"}}, stack="prod"),
        made("replaced", {"region": "us-east1"}, stack="prod"),
        made("held-and-replaced", {"region": "us-east1"}, protect=True, stack="prod"),
    ]
    found = differences(before, after)
    assert [(one.action.value, one.name) for one in found] == [
        ("replace", "held-and-replaced"),
        ("delete", "held"),
        ("replace", "replaced"),
        ("delete", "deleted"),
        ("update", "updated"),
        ("create", "created"),
    ]
    assert [(one.path, one.before, one.after, one.replaces) for one in found[2].changes] == [
        ("region", "us-central1", "us-east1", True)
    ]


def test_one_that_was_protected_comes_first_although_the_program_protects_it_no_more() -> None:
    before = [made("a", {"region": "us-central1"}), made("z", {"region": "us-central1"}, protect=True)]
    after = [made(name, {"region": "us-east1"}) for name in ("a", "z")]
    assert [(one.name, one.protect) for one in differences(before, after)] == [("z", True), ("a", False)]


def test_what_the_program_says_about_changes_counts() -> None:
    before = made("one", {"settings": {"diskSize": 10, "edition": "ENTERPRISE", "databaseFlags": [{"value": 1}]}})
    inputs = {"settings": {"diskSize": 20, "edition": "ENTERPRISE_PLUS", "databaseFlags": [{"value": 2}, {"value": 3}]}}
    after = made(
        "one", inputs, ignore_changes=["settings.diskSize"], replace_on_changes=["settings.databaseFlags[*].value"]
    )
    (found,) = differences([before], [after])
    assert found.action is Action.REPLACE
    assert {one.path: one.replaces for one in found.changes} == {
        "settings.edition": False,
        "settings.databaseFlags[0].value": True,
        "settings.databaseFlags[1]": False,
    }


def test_a_disk_that_grows_is_an_update_and_one_that_shrinks_a_replacement() -> None:
    small, large = (made("one", {"settings": {"diskSize": size}}) for size in (10, 20))
    assert [one.action for one in differences([small], [large])] == [Action.UPDATE]
    assert [one.action for one in differences([large], [small])] == [Action.REPLACE]


@pytest.mark.parametrize(
    ("type_", "before", "after", "action"),
    [
        (INSTANCE, {"masterInstanceName": "a"}, {"masterInstanceName": "b"}, Action.REPLACE),
        # It is promoted.
        (INSTANCE, {"masterInstanceName": "a"}, {}, Action.UPDATE),
        (INSTANCE, of_network("a"), of_network(None), Action.REPLACE),
        (INSTANCE, of_network(None), of_network("a"), Action.UPDATE),
        (SUBNET, {"ipCidrRange": "10.0.0.0/24"}, {"ipCidrRange": "10.0.0.0/23"}, Action.UPDATE),
        (SUBNET, {"ipCidrRange": "10.0.0.0/24"}, {"ipCidrRange": "10.1.0.0/23"}, Action.REPLACE),
        (SUBNET, {"ipCidrRange": "[unknown]"}, {"ipCidrRange": "10.1.0.0/23"}, Action.REPLACE),
        ("gcp:projects/iAMMember:IAMMember", {"role": "roles/viewer"}, {"role": "roles/editor"}, Action.REPLACE),
    ],
)
def test_some_changes_of_an_input_replace_and_others_do_not(
    type_: str, before: dict[str, Any], after: dict[str, Any], action: Action
) -> None:
    (found,) = differences([made("one", before, type_)], [made("one", after, type_)])
    assert found.action is action


def test_an_input_that_appears_or_goes_is_a_change() -> None:
    (found,) = differences([made("one", {"a": None, "b": 1})], [made("one", {"b": True})])
    assert [(one.path, one.before, one.after) for one in found.changes] == [("a", None, "[absent]"), ("b", 1, True)]


def test_a_renamed_resource_is_neither_made_nor_deleted(tmp_path: Path) -> None:
    old = evaluate(write(tmp_path / "old", "gcp.storage.Bucket('old', location='US')"), "dev")
    program = (
        "gcp.storage.Bucket('new', location='US', opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name='old')]))"
    )
    assert differences(old.resources, evaluate(write(tmp_path / "new", program), "dev").resources) == []


def test_the_children_of_a_renamed_component_are_found_again(tmp_path: Path) -> None:
    old = write(tmp_path / "old", PART + "Part('test:a:Old', 'old', pulumi.ResourceOptions(parent=whole))")
    new = write(
        tmp_path / "new",
        PART + "alias = pulumi.Alias(type_='test:a:Old', name='old')\n"
        "Part('test:a:New', 'new', pulumi.ResourceOptions(parent=whole, aliases=[alias]))",
    )
    assert differences(evaluate(old, "dev").resources, evaluate(new, "dev").resources) == []
