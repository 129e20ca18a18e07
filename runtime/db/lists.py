"""Lists: newest first, filtered, paged by keyset."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import ColumnElement, bindparam, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from runtime.db.pool import Executor
from runtime.db.query import LIMIT, Query, View, json_page

Row = TypeVar("Row", bound=BaseModel)
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows as the JSON array that PostgreSQL built; iterating reads them into `kind`."""

    rows: bytes
    count: int
    # Where the next page begins; None when this page was not full.
    next_key: Key | None
    kind: type[Row]

    def __iter__(self) -> Iterator[Row]:
        return iter(TypeAdapter(list[self.kind]).validate_json(self.rows))  # type: ignore[name-defined]  # a type at run time


class Listing(Generic[Row]):
    """One table's list. Each combination of filters is compiled when it is first asked for.

    Args:
        kind: the schema of a row.
        view: what is shown of a row; it contains the key.
        key: the columns that order the list, the unique one last.
        filters: conditions by name, each with a bind parameter of that name.
        where: what holds for every row of the list.
    """

    def __init__(
        self,
        kind: type[Row],
        view: View,
        *,
        key: Sequence[InstrumentedAttribute[Any]],
        filters: Mapping[str, ColumnElement[bool]],
        where: ColumnElement[bool] | None = None,
    ) -> None:
        self._kind = kind
        self._view = view
        self._key = key
        self._filters = filters
        self._where = where
        types = [column.type.python_type for column in key]
        self._key_types: TypeAdapter[Key] = TypeAdapter(tuple[*types])  # type: ignore[valid-type]  # made of columns
        self._queries: dict[tuple[frozenset[str], bool], Query] = {}

    async def page(self, db: Executor, *, limit: int, after: Key | None = None, **filters: Any) -> Page[Row]:
        """A page of the rows that fit all filters that are not None.

        Args:
            db: where to read.
            limit: most rows of the page.
            after: the key of the last row of the page before.
            filters: values by the filters' names.
        """
        given = {name: value for name, value in filters.items() if value is not None}
        query = self._query(frozenset(given), after is not None)
        last = {f"after_{place}": value for place, value in enumerate(after or ())}
        row = await db.row(query, limit=limit, **given, **last)
        if row is None:  # pragma: no cover  # an aggregate always has one row
            raise AssertionError
        rows, count = row
        return Page(rows, count, self._key_of_last(rows) if count == limit else None, self._kind)

    def _key_of_last(self, rows: bytes) -> Key:
        # PostgreSQL puts a line feed between the elements of an array, and none inside: jsonb has lost its own. To ask
        # for the key as further columns took a tenth of the statement's time.
        last = json.loads(rows[rows.rfind(b"\n") + 1 : -1].lstrip(b"["))
        return self._key_types.validate_python([last[column.key] for column in self._key])

    def _query(self, names: frozenset[str], continued: bool) -> Query:  # noqa: FBT001  # part of a cache key
        query = self._queries.get((names, continued))
        if query is None:
            rows = select(*self._view).where(*[self._filters[name] for name in sorted(names)])
            if self._where is not None:
                rows = rows.where(self._where)
            if continued:
                after = [bindparam(f"after_{place}", type_=column.type) for place, column in enumerate(self._key)]
                rows = rows.where(tuple_(*self._key) < tuple_(*after))
            rows = rows.order_by(*[column.desc() for column in self._key]).limit(LIMIT)
            query = Query(json_page(rows))
            self._queries[names, continued] = query
        return query


def equals(*columns: InstrumentedAttribute[Any]) -> dict[str, ColumnElement[bool]]:
    """Filters that compare a column with the parameter of its name."""
    return {column.key: column == bindparam(column.key, type_=column.type) for column in columns}
