"""When Google may maintain the database, and when not."""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from infra.sections.base import Clock, Section

MOST_DENIED_DAYS = 90
# Each year's; this one has a 29th of February.
ANY_YEAR = 2028


def _day(value: str) -> str:
    try:
        is_day = bool(re.fullmatch(r"(\d{4}-)?\d\d-\d\d", value)) and bool(_date(value))
    except ValueError:
        is_day = False
    if not is_day:
        message = f"{value!r} is no day; write YYYY-MM-DD, or MM-DD for each year"
        raise ValueError(message)
    return value


def _date(value: str) -> dt.date:
    return dt.date.fromisoformat(f"{ANY_YEAR}-{value}" if _is_yearly(value) else value)


def _is_yearly(value: str) -> bool:
    return len(value) == len("MM-DD")


Day = Annotated[str, AfterValidator(_day)]


class DeniedPeriod(Section):
    """No maintenance from a day to a day."""

    start: Day
    end: Day
    time: Clock = Field(default="00:00", description="UTC, of both days.")

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if _is_yearly(self.start) != _is_yearly(self.end):
            yield f"end: {self.end} and start, {self.start}, differ in form; write both with a year, or both without"
            return
        days = (_date(self.end) - _date(self.start)).days
        if _is_yearly(self.start) and days < 0:
            days += 366
        if days < 1:
            yield f"end: {self.end} is not after start, {self.start}; write a later day"
        elif days > MOST_DENIED_DAYS:
            yield f"end: {self.start} to {self.end} is {days} days; Google denies at most {MOST_DENIED_DAYS}"


class MaintenanceConfig(Section):
    """The weekly window, clear of backups and of the verification on Sunday."""

    day: int = Field(default=6, ge=1, le=7, description="1 is Monday.")
    hour: int = Field(default=6, ge=0, le=23, description="UTC.")
    update_track: Literal["canary", "stable", "week5"] = "stable"
    denied: DeniedPeriod | None = None
