"""`holdfast plan` as people and programs call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from runbooks.plan.commands import register
from runbooks.plan.errors import PlanError
from runbooks.plan.evaluate import evaluate
from runbooks.plan.project import Project
from runbooks.plan.snapshot import mismatches, write
from tests.infra.programs.writing import write as write_program

NESTED = Path(__file__).parent / "programs" / "nested"
HOLDFAST = Path(sys.executable).parent / "holdfast"
INSTANCE = "test:platform:Platform$test:database:Database$gcp:sql/databaseInstance:DatabaseInstance::primary"


def installed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The installed command, with neither a home that could have credentials nor a pulumi command."""
    return subprocess.run(
        [HOLDFAST, "plan", *arguments, "--project", folder],
        capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/nowhere", "HOME": "/nowhere", "LANG": "C.UTF-8"},
    )  # fmt: skip


def run(folder: Path, *arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [*arguments, "--project", str(folder)])


def test_people_see_the_resources_below_their_components_and_counts() -> None:
    shown = run(NESTED, "prod").stdout
    assert "platform  test:platform:Platform  3" in shown
    assert "primary  gcp:sql/databaseInstance:DatabaseInstance  protected" in shown
    assert "8 resources in 3 components, 1 protected" in shown
    assert "only the cloud can answer: gcp:organizations/getProject:getProject" in shown


def test_programs_read_json_and_compare_with_a_file(tmp_path: Path) -> None:
    written = installed(NESTED, "dev", "--json")
    assert written.returncode == 0, written.stderr
    resources = json.loads(written.stdout)
    assert [one["urn"] for one in resources] == sorted(one["urn"] for one in resources)
    path = tmp_path / "plan.json"
    path.write_text(written.stdout, encoding="utf-8")
    (primary, component) = json.loads(run(NESTED, "prod", "--diff-file", str(path), "--json").stdout)
    assert (primary["action"], primary["protect"], component["name"]) == ("update", True, "database")
    assert primary["changes"][0] == {
        "path": "settings.tier", "before": "db-f1-micro", "after": "db-custom-2-8192", "replaces": False,
    }  # fmt: skip


def test_people_see_before_and_after() -> None:
    shown = run(NESTED, "prod", "--diff", "dev").stdout
    assert "settings.tier: db-f1-micro ⇒ db-custom-2-8192" in shown
    assert "dev ⇒ prod: 0 to replace, 0 to delete, 2 to update, 0 to create" in shown


def test_people_see_what_a_setting_would_change() -> None:
    shown = run(NESTED, "dev", "--diff", "dev", "--config", "tier=db-custom-4-15360").stdout
    assert "settings.tier: db-f1-micro ⇒ db-custom-4-15360" in shown
    assert "0 to replace, 0 to delete, 2 to update, 0 to create" in shown


def test_what_a_pipe_gets_is_not_cut() -> None:
    shown = installed(NESTED.parents[3], "prod").stdout
    assert "gcp:monitoring/notificationChannel:NotificationChannel\n" in shown
    assert "holdfast-database-dr  gcp:sql/databaseInstance:DatabaseInstance  protected\n" in shown


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (["name=other"], "DATA: 10 protected would be deleted; pulumi up refuses all of this."),
        (
            ["production=false", "database.deletion_protected=false"],
            "DATA: 10 lose their protection; nothing refuses what deletes them next.",
        ),
    ],
)
def test_what_puts_data_at_risk_is_said_at_the_end(changes: list[str], line: str) -> None:
    options = [word for change in changes for word in ("--config", change)]
    assert line in run(NESTED.parents[3], "prod", "--diff", "prod", *options).stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["dev", "--diff", "prood"], "there is no stack 'prood'; did you mean 'prod'?"),
        (["dev", "--diff", "prod", "--diff-file", "x"], "give one"),
        (["dev", "--diff-file", "/nowhere/plan.json"], "/nowhere/plan.json: No such file or directory"),
        (["dev", "--diff-file", str(NESTED / "Pulumi.yaml")], "it is not a plan"),
        (["dev", "--config", "tier"], "--config tier: write PATH=VALUE"),
        (["dev", "--config", "tier..size=2"], "--config tier..size=2: write PATH=VALUE"),
        (["dev", "--config", "tier.size=2"], "tier.size: holdfast:tier is no section"),
        (["dev", "--config", "tier=[2"], "tier: line 1, column 3"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_line(arguments: list[str], line: str) -> None:
    ended = run(NESTED, *arguments)
    assert ended.stdout == ""
    assert isinstance(ended.exception, PlanError)
    assert line in str(ended.exception)


def test_a_stack_that_is_unknown_ends_with_one_line() -> None:
    ended = installed(NESTED, "staging")
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("holdfast: there is no stack 'staging'")
    assert "prod" in line


def test_a_failing_program_is_one_line_and_its_prints_are_not_the_plan(tmp_path: Path) -> None:
    write_program(tmp_path, "gcp.storage.Bucket('b', location='US')\nraise ValueError('no')")
    ended = installed(tmp_path, "dev", "--json")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "holdfast: the program failed: ValueError: no (__main__.py:4)\n"
    write_program(tmp_path, "print('hello')")
    ended = run(tmp_path, "dev", "--json")
    assert len(json.loads(ended.stdout)) == 1
    assert ended.stderr == "hello\n"


def test_a_snapshot_holds_what_it_names_and_says_how_to_write_it_anew(tmp_path: Path) -> None:
    plan = evaluate(Project(NESTED), "dev")
    path = tmp_path / "dev.yaml"
    write(plan, path)
    snapshot = yaml.safe_load(path.read_text())
    assert snapshot["counts"]["resources"] == len(plan.resources)
    snapshot["values"] = {INSTANCE: {"settings": {"tier": "db-f1-micro"}}}
    path.write_text(yaml.safe_dump(snapshot))
    assert mismatches(plan, path) == []
    prod = evaluate(Project(NESTED), "prod")
    assert mismatches(prod, path) == [
        f"values {INSTANCE} settings tier: the snapshot has 'db-f1-micro', the plan 'db-custom-2-8192'",
        f"to write it anew: holdfast plan prod --snapshot {path}",
    ]
    other = evaluate(Project(NESTED), "prod", changes={"tier": "db-custom-4-15360"})
    assert mismatches(other, path)[-1] == (
        f"to write it anew: holdfast plan prod --config tier=db-custom-4-15360 --snapshot {path}"
    )
    assert run(NESTED, "prod", "--snapshot", str(path)).exit_code == 0
    assert mismatches(prod, path) == []
    assert yaml.safe_load(path.read_text())["values"] == {INSTANCE: {"settings": {"tier": "db-custom-2-8192"}}}


def test_a_snapshot_misses_a_resource_that_is_gone_or_new(tmp_path: Path) -> None:
    path = tmp_path / "dev.yaml"
    type_ = "gcp:storage/bucket:Bucket"
    path.write_text(yaml.safe_dump({"counts": {type_: 3}, "values": {f"{type_}::gone": {"location": "US"}}}))
    lines = mismatches(evaluate(Project(NESTED), "dev"), path)
    assert f"counts {type_}: the snapshot has 3, the plan 2" in lines
    assert f"values {type_}::gone: the snapshot has {{'location': 'US'}}, the plan '[absent]'" in lines
