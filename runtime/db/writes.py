"""Inserts and updates of whichever columns a caller gives, answered with the row as JSON."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, String, bindparam, cast, func, insert, update

from runtime.db.base import Base
from runtime.db.documents import version_of
from runtime.db.query import Query, View, json_object

Derived: TypeAlias = Mapping[str, Mapping[str, ColumnElement[Any]]]


class Writes:
    """The writing statements of one table. Each set of columns is compiled when it is first written.

    Args:
        model: the table; its key is the column `id`.
        view: what the answer shows of the row.
        on_insert: given column → the columns that follow from it, as expressions.
        on_update: the same for updates, where the expressions may look at the old row.
        versioned: the answer has the row's version too. Not for a partitioned table.
    """

    def __init__(
        self,
        model: type[Base],
        view: View,
        *,
        on_insert: Derived | None = None,
        on_update: Derived | None = None,
        versioned: bool = False,
    ) -> None:
        self._model = model
        self._answer = [json_object(view), *([version_of(model)] if versioned else [])]
        self._on_insert = on_insert or {}
        self._on_update = on_update or {}
        self._inserts: dict[frozenset[str], Query] = {}
        self._updates: dict[frozenset[str], Query] = {}

    def insert(self, names: frozenset[str]) -> Query:
        """Insert these columns; an `id` that is not given is made by the database."""
        query = self._inserts.get(names)
        if query is None:
            values = self._values(names, self._on_insert)
            identity: ColumnElement[Any] = self._model.__table__.c.id
            if "id" not in names and isinstance(identity.type, String):
                values["id"] = cast(func.uuid7(), String)
            query = Query(insert(self._model).values(values).returning(*self._answer))
            self._inserts[names] = query
        return query

    def update(self, names: frozenset[str]) -> Query:
        """Set these columns of the row whose key is the parameter `key`."""
        query = self._updates.get(names)
        if query is None:
            identity: ColumnElement[Any] = self._model.__table__.c.id
            query = Query(
                update(self._model)
                .where(identity == bindparam("key", type_=identity.type))
                .values(self._values(names, self._on_update))
                .returning(*self._answer)
            )
            self._updates[names] = query
        return query

    def _values(self, names: frozenset[str], derived: Derived) -> dict[str, Any]:
        columns = self._model.__table__.c
        values: dict[str, Any] = {name: bindparam(name, type_=columns[name].type) for name in sorted(names)}
        for name in names:
            values.update(derived.get(name, {}))
        return values
