"""Preconditions: of Cloud Storage (generations) and of HTTP (ETags, dates)."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from runbooks.sandbox.storage.entry import Entry
from runbooks.sandbox.storage.errors import Code, StorageError

GENERATIONS = frozenset({"x-goog-if-generation-match", "x-goog-if-metageneration-match"})
HTTP = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})
COPY = "x-goog-copy-source-"
OF_COPY = frozenset(COPY + name.removeprefix("x-goog-") for name in GENERATIONS | HTTP)


@dataclass(frozen=True)
class Conditions:
    """What must hold of the object that is there now; an object that is not there has generation 0."""

    generation: int | None = None
    metageneration: int | None = None
    match: str | None = None
    none_match: str | None = None
    modified_since: dt.datetime | None = None
    unmodified_since: dt.datetime | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Conditions":
        """From a request's headers."""
        return cls._read(headers, "x-goog-", "")

    @classmethod
    def read_for_source(cls, headers: Mapping[str, str]) -> "Conditions":
        """From the headers of a copy, on the object that is copied."""
        return cls._read(headers, COPY, COPY)

    @classmethod
    def _read(cls, headers: Mapping[str, str], generations: str, others: str) -> "Conditions":
        return cls(
            _number(headers, generations + "if-generation-match"),
            _number(headers, generations + "if-metageneration-match"),
            headers.get(others + "if-match"),
            headers.get(others + "if-none-match"),
            _date(headers, others + "if-modified-since"),
            _date(headers, others + "if-unmodified-since"),
        )

    def check_write(self, current: Entry | None) -> None:
        """See that what is there may be replaced or deleted.

        Raises:
            StorageError: it may not.
        """
        _require(self.generation in {None, current.generation if current else 0}, "x-goog-if-generation-match")
        _require(self.metageneration in {None, 1 if current else 0}, "x-goog-if-metageneration-match")

    def check_read(self, current: Entry) -> None:
        """See that what is there is what the client wants; an ETag outranks a date.

        Raises:
            StorageError: it is not, or has not changed.
        """
        self.check_write(current)
        created = current.created.replace(microsecond=0)
        if self.match is not None:
            _require(_names(self.match, current.etag), "If-Match")
        elif self.unmodified_since:
            _require(created <= self.unmodified_since, "If-Unmodified-Since")
        if self.none_match is not None:
            unchanged = _names(self.none_match, current.etag)
        else:
            unchanged = self.modified_since is not None and created <= self.modified_since
        if unchanged:
            raise StorageError(Code.NOT_MODIFIED, headers=current.describe())

    def check_source(self, current: Entry) -> None:
        """See that what is there may be copied; unchanged is a failed precondition here.

        Raises:
            StorageError: it may not.
        """
        try:
            self.check_read(current)
        except StorageError as error:
            raise StorageError(Code.PRECONDITION_FAILED, error.detail or "the source has not changed") from None


def _require(holds: bool, condition: str) -> None:  # noqa: FBT001  (a condition's outcome)
    if not holds:
        raise StorageError(Code.PRECONDITION_FAILED, condition)


def _names(tags: str, etag: str) -> bool:
    return any(tag.strip().removeprefix("W/") in {"*", etag, etag.strip('"')} for tag in tags.split(","))


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004  (digits of 64 bits)
        raise StorageError(Code.INVALID_ARGUMENT, f"{name} is a number")
    return int(value)


def _date(headers: Mapping[str, str], name: str) -> dt.datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        # HTTP says that a date nobody can read is as if it were not there.
        return None
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)
