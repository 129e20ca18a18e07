"""Buckets."""

from pydantic import Field

from infra.sections.base import Section

# Archived metrics are kept for a year, and the retention job has a month to delete them.
LEAST_BACKSTOP_DAYS = 365 + 30


class StorageConfig(Section):
    """The archive and the exports."""

    metrics_backstop_days: int = Field(
        default=LEAST_BACKSTOP_DAYS,
        ge=LEAST_BACKSTOP_DAYS,
        le=4000,
        description="Then the bucket deletes what the retention job has not, below the metrics' prefix alone.",
    )
    exports_days: int = Field(default=30, ge=1, le=3650)
    soft_delete_days: int = Field(default=7, ge=7, le=90, description="What is deleted can be had back so long.")
