"""The declarative base: naming convention and the column types that every system shares."""

import datetime as dt
import uuid
from typing import Annotated, Any, ClassVar

from sqlalchemy import CheckConstraint, DateTime, Float, MetaData, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "idx_%(table_name)s_%(column_0_N_name)s",
}

# Python types of the columns that the systems have in common.
Name = Annotated[str, mapped_column(String(255))]
Subject = Annotated[str, mapped_column(String(255), doc="The subject of a principal.")]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Moment = Annotated[dt.datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[dt.datetime, mapped_column(DateTime(timezone=True), server_default=text("now()"))]
# uuid7() is made by the first migration: PostgreSQL's own from 18 on.
UuidKey = Annotated[uuid.UUID, mapped_column(Uuid, primary_key=True, server_default=text("uuid7()"))]


class Base(DeclarativeBase):
    """All tables of the platform."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Float(53), str: Text()}


def one_of(column: str, values: tuple[str, ...], name: str | None = None) -> CheckConstraint:
    """A value set that a migration can widen without rewriting the table, unlike an ENUM."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or column)


def finite(*columns: str) -> tuple[CheckConstraint, ...]:
    """No NaN, no infinity: PostgreSQL sorts NaN above Infinity, and JSON has neither."""
    return tuple(
        CheckConstraint(f"{column} > '-Infinity' AND {column} < 'Infinity'", name=f"{column}_finite")
        for column in columns
    )
