"""Partial snapshots of a plan: the counts, and the inputs that somebody chose to hold.

A snapshot is YAML: `counts` by type, and `values` by URN (without stack and project) of the inputs that matter. An
input that it does not name may change. An object is compared member by member, a list as a whole.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runbooks.plan.model import Plan, Resource

ABSENT = "[absent]"


def mismatches(plan: Plan, path: Path) -> list[str]:
    """A line for each difference between a plan and a snapshot, and how to write it anew. Empty when it holds."""
    wanted = _read(path)
    present = _partial(plan, wanted)
    lines = list(_compare(wanted, present, ""))
    said = "".join(f" --config {name}={value}" for name, value in plan.changes.items())
    return [*lines, f"to write it anew: holdfast plan {plan.stack}{said} --snapshot {path}"] if lines else []


def write(plan: Plan, path: Path) -> None:
    """Write a snapshot anew: the counts, and of the values those that it holds already."""
    wanted = _read(path) if path.exists() else {}
    text = yaml.safe_dump(_partial(plan, wanted), sort_keys=True, allow_unicode=True, width=120)
    path.write_text(text, encoding="utf-8")


def counts(resources: list[Resource]) -> dict[str, int]:
    """How many of each type, and altogether."""
    by_type = Counter(one.type for one in resources)
    return {**dict(sorted(by_type.items())), "resources": by_type.total()}


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _partial(plan: Plan, wanted: dict[str, Any]) -> dict[str, Any]:
    inputs = {one.urn.split("::", 2)[2]: one.inputs for one in plan.resources}
    return {"counts": counts(plan.resources), "values": _narrowed(inputs, wanted.get("values", {}))}


def _narrowed(value: Any, wanted: Any) -> Any:
    """Of a value what a snapshot holds of it."""
    if not isinstance(value, dict) or not isinstance(wanted, dict):
        return value
    return {name: _narrowed(value[name], below) for name, below in wanted.items() if name in value}


def _compare(wanted: Any, present: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(present, dict):
        for name in sorted({*wanted, *present}):
            here = f"{path} {name}".strip()
            yield from _compare(wanted.get(name, ABSENT), present.get(name, ABSENT), here)
    elif wanted != present:
        yield f"{path}: the snapshot has {wanted!r}, the plan {present!r}"
