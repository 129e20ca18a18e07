"""One row, as the JSON that PostgreSQL built."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Integer, literal_column

from runtime.db.base import Base
from runtime.db.pool import Executor
from runtime.db.query import Query
from runtime.problems import NotFound

Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document(Generic[Kind]):
    """The bytes, for an answer; `read()` for a program that wants the fields.

    Args:
        json: the row.
        kind: its schema.
        version: another after each change, of a row whose version is asked for.
    """

    json: bytes
    kind: type[Kind]
    version: int | None = None

    def read(self) -> Kind:
        """The row, checked against its schema."""
        return self.kind.model_validate_json(self.json)


def version_of(model: type[Base]) -> ColumnElement[int]:
    """The number of the transaction that last changed the row."""
    return literal_column(f"{model.__tablename__}.xmin", Integer).label("version")


async def find(db: Executor, query: Query, kind: type[Kind], *, name: str, key: object) -> Document[Kind]:
    """The row with the key.

    Args:
        db: where to read.
        query: answers one row's JSON for the parameter `key`, and its version if anybody wants it.
        kind: the row's schema.
        name: what the row is called in an error.
        key: of the row.

    Raises:
        NotFound: there is no such row.
    """
    row = await db.row(query, key=key)
    if row is None:
        message = f"{name} {str(key)!r} does not exist"
        raise NotFound(message)
    return Document(row[0], kind, *row[1:])
