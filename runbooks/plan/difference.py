"""What going from one plan to another would do."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any

from pydantic import BaseModel

from runbooks.plan.model import STACK, Resource
from runbooks.plan.replacing import FORCES, FORCES_WHERE, When

ABSENT = "[absent]"
# Not an input, but shown beside them.
PROTECTION = "(protect)"


class Action(StrEnum):
    """What would happen to a resource."""

    REPLACE = "replace"
    DELETE = "delete"
    UPDATE = "update"
    CREATE = "create"


class Change(BaseModel):
    """One input, before and after.

    Attributes:
        replaces: whether it makes the resource anew.
    """

    path: str
    before: Any
    after: Any
    replaces: bool


class Difference(BaseModel):
    """One resource that is not the same.

    Attributes:
        protect: whether Pulumi refuses to delete it; it would refuse a replacement too.
    """

    action: Action
    urn: str
    type: str
    name: str
    protect: bool
    changes: list[Change]


def differences(before: list[Resource], after: list[Resource]) -> list[Difference]:
    """What would change, with what needs eyes first: protected ones that go, replacements, deletions, updates.

    Stacks are compared by what is within them: a URN's stack does not count.
    """
    old = {_key(one.urn): one for one in before}
    by_urn = {one.urn: one for one in after}
    found: list[Difference] = []
    for one in after:
        key = next((name for name in map(_key, _names(one, by_urn)) if name in old), None)
        was = old.pop(key) if key is not None else None
        if was is None:
            found.append(_difference(Action.CREATE, one, []))
            continue
        changes = _changes(was, one)
        if changes:
            action = Action.REPLACE if any(change.replaces for change in changes) else Action.UPDATE
            found.append(_difference(action, one, changes, protect=was.protect))
    found += [_difference(Action.DELETE, one, []) for one in old.values()]
    return sorted(found, key=lambda one: (_urgency(one), one.urn))


def _names(one: Resource, by_urn: dict[str, Resource]) -> Iterator[str]:
    """The URN of a resource and those that it had before: its own aliases, and what its parents' make of it."""
    yield from (one.urn, *one.aliases)
    parent = by_urn.get(one.parent or "")
    if parent is None or parent.type == STACK:
        return
    for name in _names(parent, by_urn):
        kind, _, former = name.split("::", 2)[2].rpartition("::")
        # A child that begins with its parent's name is taken to have been renamed with it, as Pulumi does.
        own = former + one.name.removeprefix(parent.name) if one.name.startswith(parent.name) else one.name
        yield f"{name.rsplit('::', 2)[0]}::{kind}${one.type}::{own}"


def _difference(action: Action, one: Resource, changes: list[Change], *, protect: bool = False) -> Difference:
    return Difference(
        action=action, urn=one.urn, type=one.type, name=one.name, protect=one.protect or protect, changes=changes
    )


def _urgency(one: Difference) -> tuple[bool, int, bool]:
    goes = one.action in (Action.REPLACE, Action.DELETE)
    return not (goes and one.protect), list(Action).index(one.action), not one.protect


def _key(urn: str) -> str:
    """A URN without its stack. The stack itself is one and the same on both sides."""
    within = urn.split("::", 1)[-1]
    return STACK if f"::{STACK}::" in f"::{within}" else within


def _changes(before: Resource, after: Resource) -> list[Change]:
    if after.type == STACK:
        return []
    forces = [*FORCES.get(after.type, ()), *after.replace_on_changes]
    sometimes = FORCES_WHERE.get(after.type, {})
    found = []
    for path, was, now in _leaves(before.inputs, after.inputs, ""):
        if _below(path, after.ignore_changes):
            continue
        forced = _below(path, forces) or (path in sometimes and _is(sometimes[path], was, now))
        found.append(Change(path=path, before=was, after=now, replaces=forced))
    if before.protect != after.protect:
        found.append(Change(path=PROTECTION, before=before.protect, after=after.protect, replaces=False))
    return found


def _leaves(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            here = f"{path}.{name}" if path else name
            yield from _leaves(before.get(name, ABSENT), after.get(name, ABSENT), here)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            was, now = (side[index] if index < len(side) else ABSENT for side in (before, after))
            yield from _leaves(was, now, f"{path}[{index}]")
    elif before != after or type(before) is not type(after):
        yield path, before, after


def _is(when: When, before: Any, after: Any) -> bool:
    match when:
        case When.SMALLER:
            return isinstance(before, int | float) and isinstance(after, int | float) and after < before
        case When.REMOVED:
            return bool(after == ABSENT)
        case When.NOT_REMOVED:
            return bool(after != ABSENT)
        case When.NOT_WIDER:
            return not _holds(after, before)


def _holds(outer: Any, inner: Any) -> bool:
    try:
        return IPv4Network(inner).subnet_of(IPv4Network(outer))
    except ValueError:
        # What is not known yet.
        return False


def _below(path: str, roots: list[str]) -> bool:
    """Whether a path is one of the roots or within it; "*" is every input, and [*] every element."""
    return any(root == "*" or _starts(_steps(path), _steps(root)) for root in roots)


def _starts(path: list[str], root: list[str]) -> bool:
    return len(path) >= len(root) and all(want in ("*", have) for have, want in zip(path, root, strict=False))


def _steps(path: str) -> list[str]:
    return [step for step in path.replace("]", "").replace("[", ".").split(".") if step]
