"""Times as Google writes them: RFC 3339 in UTC."""

import datetime as dt
import re

from runbooks.sandbox.sql.errors import invalid_request

# Up to nanoseconds, of which Python keeps microseconds.
FORM = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def now() -> str:
    """The time now."""
    return written(dt.datetime.now(dt.UTC))


def written(moment: dt.datetime) -> str:
    """A time as Google writes it."""
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(text: str, field: str) -> dt.datetime:
    """A time that a caller wrote.

    Raises:
        ApiError: it is none.
    """
    match = FORM.fullmatch(text)
    if match is not None:
        whole, fraction, zone = match.groups()
        try:
            return dt.datetime.fromisoformat(f"{whole}{(fraction or '.0')[:7].ljust(7, '0')}{zone}")
        except ValueError:
            pass
    message = f"{field} must be a timestamp such as 2026-11-20T12:00:00Z."
    raise invalid_request(message)
