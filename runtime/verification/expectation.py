"""What a restored instance is held to. The code says most of it; volumes and moments are the caller's to know."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runtime.db.roles import EXTENSIONS, GRANTS
from runtime.settings import APP_ROLE, GROUP_ROLES, OWNER_ROLE
from runtime.verification.checks import Code

# Of a table's rows: within it, a difference is what happened between two looks.
TOLERANCE = 0.1
STATEMENT_SECONDS = 600


@dataclass(frozen=True)
class Volumes:
    """How many rows there were elsewhere.

    Attributes:
        origin: where and when, for people.
        rows: by table.
        tolerance: what part of them may be missing, or too many.
        may_exceed: tables that may have any number more: all when None.
        most: of the others, how many rows there may be, where that is not how many there were.
    """

    origin: str
    rows: Mapping[str, int]
    tolerance: float = TOLERANCE
    may_exceed: frozenset[str] | None = frozenset()
    most: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bracket:
    """Between which two moments the restored data ends, as the recovery markers tell.

    Attributes:
        marker: of the last marker that must be there; None when the source can no longer say.
        until: no marker after it may be there.
        code: what is wrong when the marker is not there.
    """

    marker: dt.datetime | None
    until: dt.datetime
    code: Code = Code.PITR_TARGET_UNREACHED


@dataclass(frozen=True)
class Expectation:
    """What has to hold.

    Attributes:
        revision: of the schema; None for the newest one of this release.
        databases: that the instance has.
        roles: likewise.
        grants: table → role → privileges; tables that its revision does not have yet are passed over.
        application_role: that the application's logins are members of.
        extensions: of the database.
        volumes: to compare with.
        minimums: table → rows, below which it is not believed.
        bracket: where the data ends; None when nobody asks.
        is_deep: whether each index is also compared with its table, which reads all of both.
        statement_seconds: for any one statement.
    """

    revision: str | None = None
    databases: Sequence[str] = ()
    roles: Sequence[str] = (OWNER_ROLE, *GROUP_ROLES)
    grants: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: GRANTS)
    application_role: str = APP_ROLE
    extensions: Sequence[str] = EXTENSIONS
    volumes: Sequence[Volumes] = ()
    minimums: Mapping[str, int] = field(default_factory=dict)
    bracket: Bracket | None = None
    is_deep: bool = True
    statement_seconds: int = STATEMENT_SECONDS
