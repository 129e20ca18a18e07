"""What the archive holds: the rows of three tables, one JSON object a line, with the columns' own names.

tests/contract/test_analytics.py holds the columns to the runtime's models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# A manifest lies beside each, and is no row.
SUFFIX = ".ndjson.gz"


@dataclass(frozen=True)
class ArchivedTable:
    """A table of the archive.

    Args:
        prefix: of its objects in the bucket.
        columns: each with its type in BigQuery, in the database's order.
    """

    prefix: str
    columns: Mapping[str, str]

    @property
    def schema(self) -> list[dict[str, str]]:
        """As BigQuery has it. An archive of an earlier revision may lack a column: each may be null."""
        return [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in self.columns.items()]


TABLES = {
    "system_metrics": ArchivedTable(
        prefix="metrics/",
        columns={
            "id": "STRING",
            "service_name": "STRING",
            "metric_type": "STRING",
            "metric_value": "FLOAT",
            "unit": "STRING",
            "timestamp": "TIMESTAMP",
            "metric_metadata": "JSON",
        },
    ),
    "backfill_jobs": ArchivedTable(
        prefix="jobs/",
        columns={
            "id": "STRING",
            "job_type": "STRING",
            "start_block": "INTEGER",
            "end_block": "INTEGER",
            "current_block": "INTEGER",
            "status": "STRING",
            "progress_percentage": "FLOAT",
            "estimated_completion": "TIMESTAMP",
            "error_message": "STRING",
            "started_at": "TIMESTAMP",
            "completed_at": "TIMESTAMP",
            "created_by": "STRING",
            "lease_owner": "STRING",
            "lease_expires_at": "TIMESTAMP",
            "fencing_token": "INTEGER",
            "attempt": "INTEGER",
        },
    ),
    "insight_feedback": ArchivedTable(
        prefix="feedback/",
        columns={
            "id": "STRING",
            "insight_id": "STRING",
            "user_id": "STRING",
            "rating": "INTEGER",
            "comment": "STRING",
            "flag_type": "STRING",
            "flag_reason": "STRING",
            "created_at": "TIMESTAMP",
            "updated_at": "TIMESTAMP",
        },
    ),
}
