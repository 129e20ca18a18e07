"""Where the restored data ends, by the markers that are written every five minutes."""

import datetime as dt

from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runtime.verification.checks import Check, Code, failed, passed, unknown
from runtime.verification.expectation import STATEMENT_SECONDS, Expectation
from runtime.verification.reader import Reader

FRESHNESS = "The data ends where it should"

# A marker's moment is when its transaction began; it is there from its end on.
MARGIN = dt.timedelta(seconds=1)
# Where the source cannot be asked: one is written every five minutes, and one may be missing.
SILENCE = dt.timedelta(minutes=12)

SCHEDULE = "have python -m runtime recovery-marker run every five minutes"


def last_marker(connection: Connection, moment: dt.datetime, *, seconds: int = STATEMENT_SECONDS) -> dt.datetime | None:
    """The moment of the last marker that was surely there at a moment.

    Args:
        connection: to the source; nothing is under way on it.
        moment: that is recovered to, or at which a backup began.
        seconds: until the server has to answer.
    """
    statement = "SELECT max(written_at) FROM recovery_markers WHERE written_at <= %s"
    found: dt.datetime | None = Reader(connection, seconds=seconds).value(statement, moment - MARGIN)
    return found


def freshness(reader: Reader, expectation: Expectation) -> Check:
    """The last marker before is there, and none after."""
    bracket = expectation.bracket
    assert bracket is not None  # noqa: S101  # the gate asks only then
    if reader.value("SELECT to_regclass('recovery_markers')") is None:
        return unknown(FRESHNESS, "it is of a time before there were markers", SCHEDULE)
    newest: dt.datetime | None = reader.value("SELECT max(written_at) FROM recovery_markers")
    seen = f"the newest marker is of {newest.isoformat()}" if newest else "there is no marker"
    if newest is not None and newest > bracket.until:
        found = f"{seen}, after {bracket.until.isoformat()}"
        return failed(FRESHNESS, Code.PITR_TARGET_PASSED, found, "recover again, to the moment that was meant")
    if bracket.marker is None:
        if newest is not None and newest >= bracket.until - SILENCE:
            return passed(FRESHNESS, seen)
        return unknown(FRESHNESS, f"{seen}, and the source shows none before {bracket.until.isoformat()}", SCHEDULE)
    if newest is None or newest < bracket.marker:
        found = f"{seen}, and one of {bracket.marker.isoformat()} has to be"
        return failed(FRESHNESS, bracket.code, found, "what was written since is missing; restore again, or another")
    return passed(FRESHNESS, seen)
