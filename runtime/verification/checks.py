"""A check, how it came out, and what all of them together say."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """What may be wrong with a restored instance, by name."""

    APPLICATION_REFUSED = "APPLICATION_REFUSED"
    BACKUP_ABSENT = "BACKUP_ABSENT"
    BACKUP_STALE = "BACKUP_STALE"
    COLLATION_MISMATCH = "COLLATION_MISMATCH"
    DATABASE_ABSENT = "DATABASE_ABSENT"
    EMPTY_RESTORE = "EMPTY_RESTORE"
    EXTENSION_ABSENT = "EXTENSION_ABSENT"
    HEAP_CORRUPTED = "HEAP_CORRUPTED"
    INDEX_CORRUPTED = "INDEX_CORRUPTED"
    INVALID_INDEX = "INVALID_INDEX"
    MATVIEW_UNPOPULATED = "MATVIEW_UNPOPULATED"
    NOT_RUNNABLE = "NOT_RUNNABLE"
    PITR_TARGET_BEFORE_BACKUP = "PITR_TARGET_BEFORE_BACKUP"
    PITR_TARGET_PASSED = "PITR_TARGET_PASSED"
    PITR_TARGET_UNREACHED = "PITR_TARGET_UNREACHED"
    RESTORE_FAILED = "RESTORE_FAILED"
    REVISION_MISMATCH = "REVISION_MISMATCH"
    ROLE_ABSENT = "ROLE_ABSENT"
    RTO_EXCEEDED = "RTO_EXCEEDED"
    SEQUENCE_BEHIND = "SEQUENCE_BEHIND"
    STRUCTURE_MISSING = "STRUCTURE_MISSING"
    THROWAWAY_LEFT = "THROWAWAY_LEFT"
    VOLUME_BELOW_MINIMUM = "VOLUME_BELOW_MINIMUM"
    VOLUME_DRIFT = "VOLUME_DRIFT"


class Outcome(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    # It could not be made, so nothing is known. It never counts as passed.
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What all checks together say."""

    PASSED = "passed"
    FAILED = "failed"
    # A check could not be made, and none failed.
    INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what has to hold, such as `No index is invalid`.
        outcome: how it came out.
        found: what was seen.
        code: what is wrong; None unless it failed.
        action: what to do, unless it passed.
        measures: what was counted on the way, by name.
    """

    name: str
    outcome: Outcome
    found: str
    code: Code | None = None
    action: str = ""
    measures: Mapping[str, int | float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As programs read it."""
        return {name: value for name, value in asdict(self).items() if name != "measures"}


def passed(name: str, found: str, *, measures: Mapping[str, int | float] | None = None) -> Check:
    """It holds."""
    return Check(name, Outcome.PASSED, found, measures=measures or {})


def failed(name: str, code: Code, found: str, action: str) -> Check:
    """It does not hold."""
    return Check(name, Outcome.FAILED, found, code, action)


def unknown(name: str, found: str, action: str) -> Check:
    """It could not be made."""
    return Check(name, Outcome.UNKNOWN, found, action=action)


def judged(name: str, faults: Iterable[str], code: Code, action: str, *, otherwise: str) -> Check:
    """It holds if there are no faults.

    Args:
        name: what has to hold.
        faults: each is shown, up to ten.
        code: what is wrong if there are some.
        action: what to do then.
        otherwise: what was seen if there are none.
    """
    found = list(faults)
    return failed(name, code, listed(found), action) if found else passed(name, otherwise)


def listed(texts: Iterable[str], *, most: int = 10) -> str:
    """Texts in a row; of many the first ones, and how many more there are."""
    given = list(texts)
    more = f" and {len(given) - most} more" if len(given) > most else ""
    return ", ".join(given[:most]) + more


def verdict_of(checks: Iterable[Check]) -> Verdict:
    """What they say: no check at all is no pass either."""
    outcomes = {check.outcome for check in checks}
    if Outcome.FAILED in outcomes:
        return Verdict.FAILED
    return Verdict.INCOMPLETE if Outcome.UNKNOWN in outcomes or not outcomes else Verdict.PASSED


def codes_of(checks: Iterable[Check]) -> list[Code]:
    """What is wrong, each once, in the order of the alphabet."""
    return sorted({check.code for check in checks if check.code is not None})
