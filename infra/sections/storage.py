"""Buckets."""

from collections.abc import Iterator

from pydantic import Field

from infra.sections.base import Section

BACKSTOP_DAYS = 30


class StorageConfig(Section):
    """The archive and the exports."""

    metrics_cold_days: int = Field(default=365, ge=365, le=3650, description="Then the retention job deletes them.")
    metrics_backstop_days: int = Field(
        default=395, ge=1, le=4000, description="Then the bucket does, below the metrics' prefix alone."
    )
    exports_days: int = Field(default=30, ge=1, le=3650)
    soft_delete_days: int = Field(default=7, ge=7, le=90, description="What is deleted can be had back so long.")

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.metrics_backstop_days < (least := self.metrics_cold_days + BACKSTOP_DAYS):
            yield (
                f"metrics_backstop_days: {self.metrics_backstop_days} would delete before the retention job has; "
                f"write at least {least}"
            )
