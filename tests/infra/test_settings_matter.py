"""Each setting changes something that is made: none is there for nothing.

Many are changed at once, and each is looked for in a place of its own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest

from infra import config, stack_files
from infra.config import StackConfig
from infra.sections.base import Section
from infra.sections.jobs import JobsConfig
from runbooks.plan.errors import PlanError
from runbooks.plan.model import Plan
from tests.contract.plans import planned
from tests.infra.other_settings import EDITION, IN_PRODUCTION, LESS, MORE, NAME, Setting

# Those that are changed together, and what they are compared with.
TOGETHER: dict[str, tuple[dict[str, Setting], dict[str, str]]] = {
    "in production": (IN_PRODUCTION, {}),
    "less": (LESS, {}),
    "more": (MORE, {"database.edition": "ENTERPRISE_PLUS"}),
    "edition": (EDITION, {}),
    "name": (NAME, {}),
}
# Only counted, so that too many are refused; and only there to be refused.
COUNTED = {f"jobs.{job}.connections" for job in JobsConfig.model_fields}
# It is one part of a name that has all parts in it: tests/contract/test_release.py.
ELSEWHERE = {"jobs.migrate.attempt"}
REFUSED = {"database.public_ip": "true", "jobs.migrate.schedule": '"0 0 * * *"'}


def settings(model: type[Section] = StackConfig, prefix: str = "") -> Iterator[str]:
    """Each that has no settings below it."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
        if sections and "tuple" not in str(field.annotation):
            yield from settings(sections[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def shown(plan: Plan, setting: Setting) -> Any:
    """What is in a setting's place; None where there is nothing."""
    kind, name = setting.where.split("/")
    module, class_ = kind.split(".")
    found = [
        one.inputs
        for one in plan.resources
        if one.type.startswith(f"gcp:{module}/") and one.type.endswith(f":{class_}") and one.name == name
    ]
    value: Any = found[0] if found else None
    for step in re.findall(r"[^.\[\]]+", setting.path):
        value = below(value, step)
    return value


def below(value: Any, step: str) -> Any:
    if isinstance(value, list):
        if step.isdigit():
            return value[int(step)] if int(step) < len(value) else None
        return next((one for one in value if one["name"] == step), None)
    return value.get(step) if value else None


def is_so(value: Any, after: Any) -> bool:
    return after in value if isinstance(value, str) and isinstance(after, str) else bool(value == after)


def test_every_setting_is_tried() -> None:
    tried = [name for rows, _ in TOGETHER.values() for name in rows]
    assert sorted([*tried, *COUNTED, *ELSEWHERE, *REFUSED]) == sorted(settings())
    places = [(one.where, one.path) for rows, _ in TOGETHER.values() for one in rows.values()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("group", TOGETHER)
def test_every_setting_changes_something_that_is_made(group: str) -> None:
    rows, given = TOGETHER[group]
    before, after = changed(given), changed({**given, **{name: one.value for name, one in rows.items()}})
    assert {name: shown(after, one) for name, one in rows.items() if not is_so(shown(after, one), one.after)} == {}
    assert [name for name, one in rows.items() if is_so(shown(before, one), one.after)] == []


def changed(changes: Mapping[str, str]) -> Plan:
    return planned("prod", resolve=True, changes=tuple(changes.items()))


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_what_a_job_holds_is_counted(name: str) -> None:
    read = stack_files.read("prod")
    usual, more = (config.load(stack_files.with_changes(read, change)).connections for change in ({}, {name: "9"}))
    assert more > usual


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_only_there_to_be_refused_is(name: str) -> None:
    with pytest.raises(PlanError, match=name):
        changed({name: REFUSED[name]})
