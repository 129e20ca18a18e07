"""The table of infra/README.md: each thing that is said to meet a requirement is in production's plan."""

import re

import pytest

from tests.contract.plans import ROOT, planned

ROWS = re.findall(
    r"^\| ([^|]+) \| (?:\d{3}|decision)[^|]*\| (.+) \|$", (ROOT / "infra" / "README.md").read_text(), re.MULTILINE
)


def made() -> set[str]:
    """Component/name of each resource of the plan, components included."""
    return {
        f"{one.urn.split('::')[2].split('$')[-2 if one.custom else -1].rpartition(':')[2]}/{one.name}"
        for one in planned("prod").resources
        if one.type.startswith("holdfast:") or (one.parent is not None and "holdfast:infra:" in one.urn)
    }


@pytest.mark.parametrize(("requirement", "met_by"), ROWS)
def test_what_meets_a_requirement_is_there(requirement: str, met_by: str) -> None:
    named = re.findall(r"`([^`]+)`", met_by)
    assert named, requirement
    assert [name for name in named if name not in made() and not (ROOT / "infra" / name).is_file()] == []


def test_the_table_is_read() -> None:
    assert len(ROWS) > 15
