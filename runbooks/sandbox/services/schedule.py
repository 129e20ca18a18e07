"""Whether a schedule is in unix-cron form. When it would fire is not computed."""

import re
import zoneinfo

from runbooks.sandbox.services.errors import absent, invalid

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
# The bounds of each field, and the names that stand for numbers from the lower bound on.
FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, MONTHS),
    (0, 7, DAYS),
)
PART = re.compile(r"(?P<first>\*|\w+)(-(?P<last>\w+))?(/(?P<step>\d{1,4}))?")


def check_schedule(schedule: str) -> None:
    """See that a schedule is one.

    Raises:
        ServiceError: it is not, or it is in App Engine's English form, which Google takes and the sandbox does not.
    """
    if re.match(r"(every|\d+(st|nd|rd|th))\b", schedule, re.IGNORECASE):
        message = f"the schedule {schedule!r}; write it in unix-cron form"
        raise absent(message)
    fields = schedule.split()
    if len(fields) != len(FIELDS) or not all(map(_is_valid, fields, FIELDS)):
        message = "Schedule or time zone is invalid."
        raise invalid(message)


def check_time_zone(name: str) -> None:
    """See that there is such a time zone.

    Raises:
        ServiceError: there is none.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        message = "Schedule or time zone is invalid."
        raise invalid(message) from None


def _is_valid(field: str, form: tuple[int, int, tuple[str, ...]]) -> bool:
    return all(_is_valid_part(part, form) for part in field.split(","))


def _is_valid_part(part: str, form: tuple[int, int, tuple[str, ...]]) -> bool:
    match = PART.fullmatch(part)
    if match is None or match["step"] in ("0", "00", "000", "0000"):
        return False
    if match["first"] == "*":
        return match["last"] is None
    first = _number(match["first"], form)
    last = first if match["last"] is None else _number(match["last"], form)
    return first is not None and last is not None and first <= last


def _number(text: str, form: tuple[int, int, tuple[str, ...]]) -> int | None:
    low, high, names = form
    if text.upper() in names:
        return low + names.index(text.upper())
    return int(text) if text.isdecimal() and low <= int(text) <= high else None
