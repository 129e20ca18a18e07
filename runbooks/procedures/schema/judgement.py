"""What does not fit between a database and its migrations, and what would mend it. Nothing is guessed.

Only the parts that some revision makes are compared; a view or an index of somebody else's is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runbooks.procedures.schema.structure import Part, Structure

MOST_TOLD = 8


@dataclass(frozen=True)
class Judgement:
    """What was found.

    Attributes:
        told: what the database says its revision is.
        revision: what it is, once it is mended; None before the first one.
        stamp: whether it has to be told so.
        leftovers: parts of a later revision, left behind by a migration that failed.
        fitting: the revisions whose structure the database has exactly, where there are several to choose from.
        differences: why no revision fits; nothing can be mended then.
        others: parts that no revision makes.
    """

    told: tuple[str, ...]
    revision: str | None = None
    stamp: bool = False
    leftovers: tuple[Part, ...] = ()
    fitting: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    others: tuple[Part, ...] = field(default=())


def judge(
    told: tuple[str, ...], actual: Structure, structures: Mapping[str, Structure], chosen: str | None = None
) -> Judgement:
    """Compare a database with what each revision makes.

    Args:
        told: what it says its revision is.
        actual: its structure.
        structures: of each revision, first to last.
        chosen: the revision that somebody says it is, of several that fit.
    """
    known = {part for structure in structures.values() for part in structure}
    ours = {part: definition for part, definition in actual.items() if part in known}
    others = tuple(sorted(actual.keys() - known))
    current = told[0] if len(told) == 1 and told[0] in structures else None
    is_known = current is not None or not told
    expected: Structure = structures[current] if current is not None else {}
    if is_known and ours == expected:
        return Judgement(told, current, others=others)
    # Never back: what a later revision made and is not there was lost, and an earlier number would hide that.
    later = _after(list(structures), current)
    fitting = tuple(revision for revision in later if structures[revision] == ours)
    if chosen in fitting:
        fitting = (chosen,)
    if len(fitting) == 1:
        return Judgement(told, fitting[0], stamp=True, others=others)
    if fitting:
        return Judgement(told, fitting=fitting, others=others)
    if not is_known:
        nearest = min(structures, key=lambda revision: len(_differences(ours, structures[revision])))
        told_of = tuple(f"of {nearest}, the nearest: {one}" for one in _differences(ours, structures[nearest]))
        return Judgement(told, differences=told_of, others=others)
    wrong = tuple(one for one in _differences(ours, expected) if not one.startswith("too much: "))
    if wrong:
        return Judgement(told, current, differences=wrong, others=others)
    return Judgement(told, current, leftovers=tuple(sorted(ours.keys() - expected.keys())), others=others)


def told_shortly(things: Sequence[object]) -> str:
    """As many as a line takes."""
    rest = f" and {len(things) - MOST_TOLD} more" if len(things) > MOST_TOLD else ""
    return ", ".join(map(str, things[:MOST_TOLD])) + rest


def _after(revisions: list[str], current: str | None) -> list[str]:
    return revisions if current is None else revisions[revisions.index(current) + 1 :]


def _differences(ours: Structure, expected: Structure) -> list[str]:
    return [
        *(f"missing: {part}" for part in sorted(expected.keys() - ours.keys())),
        *(
            f"another: {part} is {ours[part]!r}, not {expected[part]!r}"
            for part in sorted(ours.keys() & expected.keys())
            if ours[part] != expected[part]
        ),
        *(f"too much: {part}" for part in sorted(ours.keys() - expected.keys())),
    ]
