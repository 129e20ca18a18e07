"""Statements written in SQLAlchemy Core, compiled once, executed by asyncpg.

Rows leave as JSON that PostgreSQL builds: the bytes go to the caller as they are.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Integer, Select, bindparam, cast, func, literal_column, select, types
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.expression import TableClause, UpdateBase

_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves the dialect's constructor untyped

# What an answer shows of a row: columns and labelled expressions.
View: TypeAlias = Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]]

# A SELECT of whatever columns.
Rows: TypeAlias = Select[*tuple[Any, ...]]

LIMIT = bindparam("limit", type_=Integer)


class Query:
    """A compiled statement that takes its parameters by name.

    Its `summary` (the operation and the tables) and its `digest` name it where it is measured.
    """

    __slots__ = ("_json", "_literals", "_names", "digest", "operation", "sql", "summary")

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            message = f"{type(statement).__name__} is not a statement with parameters"
            raise TypeError(message)
        self.sql = str(compiled)
        self.operation = self.sql.split(None, 1)[0].upper()
        self.summary = " ".join((self.operation, *_tables_of(statement)))
        self.digest = _digest(self.sql)
        self._names = tuple(compiled.positiontup or ())
        # Literals inside the statement travel as parameters too; those have a value already.
        self._literals = {name: value for name, value in compiled.params.items() if value is not None}
        self._json = frozenset(name for name in self._names if isinstance(compiled.binds[name].type, types.JSON))

    def arguments(self, parameters: dict[str, Any]) -> list[Any]:
        """Positional values for asyncpg; JSON as bytes.

        Raises:
            KeyError: a parameter of the statement was not given.
        """
        return [
            _dump(value) if name in self._json else value
            for name, value in (
                (name, parameters[name] if name in parameters else self._literals[name]) for name in self._names
            )
        ]


class Copy:
    """COPY of rows into a table, in the driver's binary form."""

    __slots__ = ("columns", "digest", "operation", "sql", "summary", "table")

    def __init__(self, model: type[DeclarativeBase], columns: Sequence[InstrumentedAttribute[Any]]) -> None:
        self.table = model.__tablename__
        self.columns = tuple(column.key for column in columns)
        self.sql = f"COPY {self.table} ({', '.join(self.columns)}) FROM STDIN (FORMAT binary)"
        self.operation = "COPY"
        self.summary = f"COPY {self.table}"
        self.digest = _digest(self.sql)


def _digest(sql: str) -> str:
    return hashlib.blake2b(sql.encode(), digest_size=4).hexdigest()


def _tables_of(statement: ClauseElement) -> list[str]:
    found = {part.name for part in visitors.iterate(statement) if isinstance(part, TableClause)}
    target = (
        statement.table.name if isinstance(statement, UpdateBase) and isinstance(statement.table, TableClause) else ""
    )
    # The one that is written first; the rest as every worker would have them.
    return sorted(found, key=lambda name: (name != target, name))


def _dump(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def columns_of(model: type[DeclarativeBase], kind: type[BaseModel], *computed: ColumnElement[Any]) -> View:
    """The view that fills a schema: its fields in order, from the model's columns or the labelled expressions."""
    expressions = {expression.key: expression for expression in computed}
    return [expressions[name] if name in expressions else getattr(model, name) for name in kind.model_fields]


def json_object(view: View) -> ColumnElement[Any]:
    """One row as a JSON object; also for RETURNING."""
    pairs = [part for column in view for part in (literal_column(f"'{column.key}'"), column)]
    return cast(func.json_build_object(*pairs), JSON)


def json_page(rows: Rows) -> Rows:
    """A list: the ordered and limited `rows` as a JSON array, and their `count`."""
    return select(
        cast(func.coalesce(func.json_agg(literal_column("page")), literal_column("'[]'")), JSON).label("rows"),
        func.count().label("count"),
    ).select_from(rows.subquery("page"))
