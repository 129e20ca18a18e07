"""Pulumi's files, read without Pulumi."""

from pathlib import Path

import pytest
import yaml

from infra import stack_files
from infra.config import StackConfig, load
from infra.errors import ConfigError
from infra.sections.base import Section

PULUMI_TYPES = {str: "string", bool: "boolean"}


def write(folder: Path, stack: str, project: str = "name: holdfast\n") -> None:
    (folder / "Pulumi.yaml").write_text(project)
    (folder / "Pulumi.dev.yaml").write_text(stack)


def refused(folder: Path, stack: str = "dev") -> str:
    with pytest.raises(ConfigError) as caught:
        stack_files.read(stack, folder)
    assert len(caught.value.lines) == 1
    return str(caught.value)


@pytest.mark.parametrize("stack", stack_files.stacks())
def test_every_stack_of_the_checkout_is_right(stack: str) -> None:
    assert load(stack_files.read(stack)).project == f"holdfast-{stack}"


def test_development_is_small() -> None:
    stack = load(stack_files.read("dev"))
    database = stack.database
    assert (database.tier, database.availability, database.first_disk_gb) == ("db-f1-micro", "ZONAL", 10)
    assert (database.backups.retained, database.backups.point_in_time_recovery) == (7, False)
    assert not database.dr_replica
    assert not database.deletion_protected
    assert not stack.production


def test_production_is_production() -> None:
    stack = load(stack_files.read("prod"))
    assert stack.production
    assert stack.database.tier.startswith("db-custom-")
    assert stack.database.backups.point_in_time_recovery
    assert stack.dr_region == "us-east1"


def test_production_becomes_enterprise_plus_by_one_word(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.prod.yaml"):
        text = (stack_files.ROOT / name).read_text()
        (tmp_path / name).write_text(text.replace("edition: ENTERPRISE\n", "edition: ENTERPRISE_PLUS\n"))
    database = load(stack_files.read("prod", tmp_path)).database
    assert (database.is_plus, database.data_cache, database.managed_pooling) == (True, True, True)


def test_pulumis_schema_is_that_of_the_settings() -> None:
    declared = yaml.safe_load((stack_files.ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(declared) == set(StackConfig.model_fields)
    for name, field in StackConfig.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, Section)
        expected = "object" if is_section or name == "labels" else PULUMI_TYPES[kind]  # type: ignore[index]
        assert declared[name]["type"] == expected, name
        if expected != "object" and not field.is_required():
            assert declared[name]["default"] == field.default, name


def test_pulumi_runs_what_is_here() -> None:
    project = yaml.safe_load((stack_files.ROOT / "Pulumi.yaml").read_text())
    assert (project["name"], project["main"], project["runtime"]["name"]) == ("holdfast", "infra", "python")
    assert project["runtime"]["options"]["virtualenv"] == ".venv"


def test_a_stacks_value_replaces_the_default(tmp_path: Path) -> None:
    write(
        tmp_path,
        "config:\n  holdfast:region: us-east4\n  holdfast:cache: {memory_gb: 1}\n",
        "config:\n  region: {type: string, default: us-central1}\n  cache: {type: object, default: {tier: BASIC}}\n"
        "  holdfast:name: other\n  gcp:disablePartnerName: {value: true}\n  project: {type: string}\n",
    )
    assert stack_files.read("dev", tmp_path) == {
        "holdfast:region": "us-east4",
        "holdfast:cache": {"memory_gb": 1},
        "holdfast:name": "other",
        "gcp:disablePartnerName": True,
    }


def test_values_are_what_pulumi_would_read(tmp_path: Path) -> None:
    write(tmp_path, "config: {a: on, b: no, c: 13:00, d: 2026-11-01, e: 0.5, f: 10, g: true, h: ~, i: 1_000, j: 'x'}")
    assert list(stack_files.read("dev", tmp_path).values()) == [
        *("on", "no", "13:00", "2026-11-01", 0.5, 10, True, None, "1_000", "x"),
    ]


def test_a_stack_without_settings_is_the_defaults(tmp_path: Path) -> None:
    write(tmp_path, "")
    assert stack_files.read("dev", tmp_path) == {}


def test_an_unknown_stack_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^there is no stack 'prd'; did you mean 'prod'\? \(Pulumi\.NAME\.yaml"):
        stack_files.read("prd")
    with pytest.raises(ConfigError, match=r"^there is no stack '\.\./x'; there are dev, prod "):
        stack_files.read("../x")


BROKEN = {
    "two of one": ("config:\n  a: 1\n  a: 2\n", "Pulumi.dev.yaml: line 2, column 3: 'a' is there twice; keep one"),
    "a tab": (
        "config:\n\ta: 1\n",
        "Pulumi.dev.yaml: line 2, column 1: found character '\\t' that cannot start any token",
    ),
    "a list": ("- a\n", "Pulumi.dev.yaml: is not a mapping; write KEY: VALUE"),
    "a word": ("config: x\n", "Pulumi.dev.yaml: config is not a mapping; write KEY: VALUE below it"),
    "another part": ("confg: {}\n", "Pulumi.dev.yaml: there is no part 'confg'; did you mean 'config'?"),
    "a program": (
        "config: !!python/object/apply:os.system [id]\n",
        (
            "Pulumi.dev.yaml: line 1, column 9: could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object/apply:os.system'"
        ),
    ),
    "a secret": (
        "config:\n  holdfast:service:\n    domain: [{secure: v1:abc}]\n",
        (
            "Pulumi.dev.yaml: holdfast:service.domain.0 is a secret; only facts are here: "
            "put it into Secret Manager, and take it out"
        ),
    ),
}


@pytest.mark.parametrize(("text", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    write(tmp_path, text)
    assert refused(tmp_path) == line


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "")
    (tmp_path / "Pulumi.dev.yaml").write_bytes(b"\xff\xfe\x00")
    assert refused(tmp_path).startswith("Pulumi.dev.yaml: cannot be read: ")


def test_keys_are_the_projects_own(tmp_path: Path) -> None:
    write(tmp_path, "config: {a: 1}\n", "name: other\nconfig: {b: 2}\n")
    assert stack_files.read("dev", tmp_path) == {"other:a": 1, "other:b": 2}


def test_a_project_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("")
    assert refused(tmp_path).startswith("Pulumi.yaml: cannot be read: ")
