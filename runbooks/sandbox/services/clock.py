"""The time as Google's JSON has it."""

import datetime as dt


def now() -> str:
    """This moment: RFC 3339 in UTC, with microseconds."""
    return stamp(dt.datetime.now(dt.UTC))


def stamp(moment: dt.datetime) -> str:
    """A moment, as text."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
