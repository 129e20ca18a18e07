"""Field types that the systems' schemas share: what the database can hold, refused early and by name."""

import datetime as dt
import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, Strict, StringConstraints

INT4_MAX = 2_147_483_647


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
        if "\\u0000" not in text:
            return value
        message = "must not contain a NUL character"
    raise ValueError(message)


Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000), AfterValidator(_storable_text)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_storable_text)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_identifier)]
ShortIdentifier = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_identifier)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=50), AfterValidator(_identifier)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable_json)]
# JSON has numbers: a string that looks like one is a mistake.
Number = Annotated[FiniteFloat, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, le=INT4_MAX)]
Moment = Annotated[AwareDatetime, Field(examples=["2026-01-15T14:00:00Z"])]


def utc_now() -> dt.datetime:
    """This moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def example_page(items: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """A list with these rows, for the API's documentation."""
    return {items: list(rows), "count": len(rows), "next_cursor": None, "status": "success"}
