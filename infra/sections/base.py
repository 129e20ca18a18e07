"""What all sections have in common."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A part of the settings. A key that is none is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def faults(self) -> Iterator[str]:
        """What does not go together: `FIELD: why; what to write instead`."""
        yield from ()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if lines := list(self.faults()):
            raise ValueError("\n".join(lines))
        return self


def _clock(value: str) -> str:
    try:
        is_clock = dt.datetime.strptime(value, "%H:%M").replace(tzinfo=dt.UTC).strftime("%H:%M") == value
    except ValueError:
        is_clock = False
    if not is_clock:
        message = f"{value!r} is no time of day; write HH:MM in UTC, as 01:00"
        raise ValueError(message)
    return value


Clock = Annotated[str, AfterValidator(_clock)]
