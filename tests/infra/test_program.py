"""The program, as `holdfast plan` and Pulumi itself run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import stack_files
from runbooks.plan.declared import undeclared
from runbooks.plan.errors import PlanError
from runbooks.plan.evaluate import evaluate
from runbooks.plan.project import Project
from runbooks.plan.snapshot import mismatches
from tests.contract.plans import ROOT, planned

SNAPSHOTS = Path(__file__).parent / "snapshots"
HOLDFAST = Path(sys.executable).parent / "holdfast"
STACKS = ("dev", "prod")
# What a person gets wrong, and what is said of it.
WRONG = {
    "databse.tier=db-f1-micro": "databse: there is no setting 'databse'; did you mean 'database'?",
    "database.teir=db-f1-micro": "database.teir: there is no setting 'teir'; did you mean 'tier'?",
    "database.tier=db-custom-3-7680": "database.tier: there is no tier 'db-custom-3-7680'",
    "region=us-central9": "region: there is no region with Cloud SQL 'us-central9'",
    "network.bastion_cidr=10.10.0.0/24": "network.bastion_cidr: 10.10.0.0/24 overlaps service_cidr",
}
CHANGES = {path: value for path, _, value in (change.partition("=") for change in WRONG)}


@pytest.mark.parametrize("stack", STACKS)
def test_the_plan_is_as_it_was_agreed(stack: str) -> None:
    assert mismatches(planned(stack), SNAPSHOTS / f"{stack}.yaml") == []


def test_nothing_is_made_before_the_apis_are_on_and_they_stay_on() -> None:
    plan = planned("prod")
    apis = plan.of_type("gcp:projects/service:Service")
    assert not any(one.inputs["disableOnDestroy"] or one.inputs["disableDependentServices"] for one in apis)
    (google,) = (one for one in plan.of_type("pulumi:providers:gcp") if one.name == "google")
    assert {one.urn for one in apis} <= set(google.depends_on)
    others = {
        one.name
        for one in plan.resources
        if (one.provider or "").startswith("urn:") and google.urn not in (one.provider or "")
    }
    assert others == {one.name for one in apis}


@pytest.mark.parametrize("stack", STACKS)
def test_the_plan_is_the_same_twice(stack: str) -> None:
    assert evaluate(Project(ROOT), stack).document() == planned(stack, image=False).document()


@pytest.mark.parametrize("stack", STACKS)
def test_each_input_is_one_that_the_sdk_declares(stack: str) -> None:
    assert undeclared(planned(stack)) == []


@pytest.mark.parametrize(("change", "line"), WRONG.items())
def test_a_wrong_setting_is_a_line_and_nothing_is_planned(change: str, line: str) -> None:
    path, _, value = change.partition("=")
    with pytest.raises(PlanError) as refused:
        evaluate(Project(ROOT), "dev", changes={path: value})
    assert line in str(refused.value)


def test_plan_says_all_that_is_wrong_and_ends_with_1() -> None:
    said = [argument for change in WRONG for argument in ("--config", change)]
    ended = subprocess.run([HOLDFAST, "plan", "prod", *said], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert all(line in ended.stderr for line in WRONG.values())
    assert "Traceback" not in ended.stderr


def test_the_program_itself_ends_with_1_before_it_registers_anything() -> None:
    settings = Project(ROOT).settings("prod", CHANGES)
    # As Pulumi starts it, yet without the engine that it would register anything with.
    ended = subprocess.run(
        [sys.executable, ROOT / "infra"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PULUMI_CONFIG": json.dumps(settings.values), "PULUMI_PROJECT": "holdfast"},
    )
    assert ended.returncode == 1
    assert all(line in ended.stderr for line in WRONG.values())
    # Whose text Pulumi shows without the traceback.
    assert "pulumi.errors.RunError" in ended.stderr


def test_without_cloud_credentials_and_pulumi_both_are_planned() -> None:
    for stack in stack_files.stacks():
        ended = subprocess.run(
            [HOLDFAST, "plan", stack, "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": "/nowhere", "HOME": "/nowhere", "LANG": "C.UTF-8"},
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout) == planned(stack, image=False).document()
