"""Backups of the database."""

from collections.abc import Iterator

from pydantic import Field

from infra.sections.base import Clock, Section


class BackupsConfig(Section):
    """When, how many and where. Where is the region for disasters."""

    enabled: bool = True
    start_time: Clock = Field(default="01:00", description="UTC; it begins within four hours from then on.")
    retained: int = Field(default=7, ge=1, le=365, description="Daily backups that are kept.")
    point_in_time_recovery: bool = True
    log_retention_days: int = Field(default=7, ge=1, le=35, description="At most 7; 35 with Enterprise Plus.")
    final_backup: bool = Field(default=True, description="One more before the instance is deleted.")
    final_backup_days: int = Field(default=30, ge=1, le=365)
    retain_on_delete: bool = True

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.point_in_time_recovery and not self.enabled:
            yield (
                "point_in_time_recovery: starts from a backup, and backups are off; "
                "write enabled: true, or point_in_time_recovery: false"
            )
        if self.point_in_time_recovery and self.retained < self.log_retention_days:
            yield (
                f"retained: {self.retained} daily backups do not reach back over log_retention_days, "
                f"{self.log_retention_days}; write at least {self.log_retention_days}"
            )
