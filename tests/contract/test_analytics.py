"""The archive's tables in BigQuery have the columns of the runtime's models."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, MetaData, String, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from infra.archived import TABLES, ArchivedTable
from runtime.db.base import Base
from runtime.systems.utxoiq import models

ARCHIVED = (models.SystemMetric, models.BackfillJob, models.InsightFeedback)
# How BigQuery has what PostgreSQL's to_jsonb writes.
TYPES = {
    Uuid: "STRING",
    String: "STRING",
    Text: "STRING",
    Integer: "INTEGER",
    BigInteger: "INTEGER",
    Float: "FLOAT",
    DateTime: "TIMESTAMP",
    JSONB: "JSON",
}


def differences(metadata: MetaData, archived: Mapping[str, ArchivedTable]) -> list[str]:
    """What infra's columns and the models' do not agree on."""
    found = []
    for name, table in archived.items():
        columns = {column.name: TYPES[type(column.type)] for column in metadata.tables[name].columns}
        found += [
            f"{name}.{one}: {columns.get(one)} in the models, {table.columns.get(one)} in infra"
            for one in sorted(columns.keys() | table.columns.keys())
            if columns.get(one) != table.columns.get(one)
        ]
    return found


def test_the_columns_agree() -> None:
    assert set(TABLES) == {model.__tablename__ for model in ARCHIVED}
    assert differences(Base.metadata, TABLES) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (Column("note", Text), "insight_feedback.note: STRING in the models, None in infra"),
        (Column("rating", Float), "insight_feedback.rating: FLOAT in the models, INTEGER in infra"),
    ],
)
def test_a_change_of_a_model_is_found(changed: Column[object], line: str) -> None:
    metadata = MetaData()
    for model in ARCHIVED:
        Base.metadata.tables[model.__tablename__].to_metadata(metadata)
    metadata.tables["insight_feedback"].append_column(changed, replace_existing=True)
    assert differences(metadata, TABLES) == [line]


def test_a_change_of_a_table_in_the_infrastructure_is_found() -> None:
    feedback = TABLES["insight_feedback"]
    columns = {name: kind for name, kind in feedback.columns.items() if name != "rating"}
    changed = {**TABLES, "insight_feedback": replace(feedback, columns={**columns, "comment": "JSON"})}
    assert differences(Base.metadata, changed) == [
        "insight_feedback.comment: STRING in the models, JSON in infra",
        "insight_feedback.rating: INTEGER in the models, None in infra",
    ]
