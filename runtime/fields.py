"""Field types that the systems' schemas share: what the database can hold, refused early and by name."""

import datetime as dt
import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    Strict,
    StringConstraints,
)

INT4_MAX = 2_147_483_647
# No data are nested deeper, and neither Python nor PostgreSQL comes near the end of its stack.
MAX_DEPTH = 100


class Input(BaseModel):
    """A request's body or query: an unknown name is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True)


class Output(BaseModel):
    """An answer, as documented; PostgreSQL builds the real one."""

    model_config = ConfigDict(extra="forbid")


class Listed(Output):
    """What every list says beside its rows."""

    count: int = Field(description="Rows on this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null: this was the last.")
    status: Literal["success"]


Limit = Annotated[int, Field(ge=1, le=1000, description="Most rows of a page.")]


class Paging(Input):
    """What every list takes beside its filters."""

    limit: Limit = 100
    cursor: str | None = Field(default=None, max_length=2000, description="next_cursor of the page before.")


def _storable_text(value: str) -> str:
    if "\x00" in value:
        message = "must not contain a NUL character"
        raise ValueError(message)
    return value


def _identifier(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        message = "must consist of printable characters, without space at either end"
        raise ValueError(message)
    return value


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except RecursionError:
        message = "is nested too deeply"
    except UnicodeEncodeError:
        message = "must not contain unpaired surrogates"
    except ValueError:
        message = "must not contain NaN or an infinity"
    else:
        # Most documents have fewer brackets altogether.
        if text.count("{") + text.count("[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            message = "is nested too deeply"
        elif "\\u0000" in text.replace(r"\\", ""):
            message = "must not contain a NUL character"
        else:
            return value
    raise ValueError(message)


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]
    return any(isinstance(item, dict | list) for item in level)


def _path_part(value: str) -> str:
    if "/" in value or value in {".", ".."}:
        message = "must not contain a slash, nor be a dot or two: it is a part of the path"
        raise ValueError(message)
    return value


# The driver takes the calendar's ends for infinities.
_INFINITIES = (dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC))


def _written_out(value: Any) -> Any:
    # Numbers and texts of digits would be read as Unix time, of which the documentation says nothing.
    if isinstance(value, dt.datetime) or (isinstance(value, str) and not value.lstrip("+-").replace(".", "").isdigit()):
        return value
    message = "must be a date and time with its offset, as in 2026-01-15T14:00:00Z"
    raise ValueError(message)


def _storable_moment(value: dt.datetime) -> dt.datetime:
    try:
        moment = value.astimezone(dt.UTC)
    except OverflowError:
        pass
    else:
        if moment not in _INFINITIES:
            return moment
    message = "is beyond the moments that can be stored"
    raise ValueError(message)


Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000), AfterValidator(_storable_text)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_storable_text)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_identifier)]
# Of what has a path of its own.
NewIdentifier = Annotated[Identifier, AfterValidator(_path_part)]
ShortIdentifier = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_identifier)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(_identifier)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable_json)]
# JSON has numbers: a string that looks like one is a mistake.
Number = Annotated[FiniteFloat, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, le=INT4_MAX)]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_storable_moment),
    Field(examples=["2026-01-15T14:00:00Z"]),
]


def utc_now() -> dt.datetime:
    """This moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def example_page(items: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """A list with these rows, for the API's documentation."""
    return {items: list(rows), "count": len(rows), "next_cursor": None, "status": "success"}
