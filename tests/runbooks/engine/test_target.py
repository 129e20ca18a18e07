"""The target: one file, whose form is in the repository."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from runbooks.engine.errors import RunbookError
from runbooks.engine.target import load, parse
from runbooks.reference.files import ROOT, TARGET, refuse_stale, target_file
from tests.runbooks.engine import toys


def test_the_form_in_the_repository_is_what_is_read() -> None:
    refuse_stale(target_file())
    schema = json.loads((ROOT / TARGET).read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(toys.target().model_dump_json()))


def test_a_target_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "target.json"
    path.write_text(toys.target().model_dump_json())
    assert load(path) == toys.target()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"version": 2}, "version: input should be 1"),
        ({"project": None}, "project: "),
        ({"instnace": "main"}, "instnace: extra inputs are not permitted"),
        ({"operator": {"user": "postgres", "secret": "hunter2"}}, "operator.secret: string should match pattern"),
        ({"connection": {"via": "proxy", "port": 0}}, "connection.proxy.port: input should be greater than"),
        ({"connection": {"via": "tunnel"}}, "connection: "),
        ({"objectives": {"rto_seconds": -1}}, "objectives.rto_seconds: "),
    ],
)
def test_each_fault_is_named_by_its_field(changed: dict[str, object], says: str) -> None:
    text = json.dumps(json.loads(toys.target().model_dump_json()) | changed)
    with pytest.raises(RunbookError) as refused:
        parse(text, "target.json")
    assert str(refused.value).startswith(f"target.json is no target: {says}")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\0"])
def test_what_is_no_object_is_said(text: str) -> None:
    with pytest.raises(RunbookError, match=r"^x is no target: all of it: .*target\.schema\.json"):
        parse(text, "x")
