"""What is looked at, and who is told."""

from typing import Annotated, Literal

from pydantic import Field

from infra.sections.base import Section

EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


class AlertsConfig(Section):
    """From where on somebody is told."""

    pool_utilization: float = Field(default=0.9, gt=0, le=1)
    p95_ms: int = Field(default=200, ge=1)
    slow_query_ratio: float = Field(default=0.05, gt=0, le=1)
    backup_age_hours: int = Field(default=28, ge=25, le=168, description="A daily backup may start four hours late.")
    verification_age_days: int = Field(default=8, ge=8, le=31)
    partitions_months_ahead: int = Field(default=2, ge=1, le=3, description="They are made three months ahead.")
    replication_lag_seconds: int = Field(default=60, ge=1)
    cpu_utilization: float = Field(default=0.8, gt=0, le=1)
    memory_utilization: float = Field(default=0.9, gt=0, le=1)
    disk_utilization: float = Field(default=0.8, gt=0, le=1)
    cache_hit_ratio: float = Field(default=0.9, gt=0, le=1)
    transaction_id_utilization: float = Field(default=0.5, gt=0, lt=1)
    failed_logins: int = Field(default=10, ge=1, description="Within two minutes.")


class MonitoringConfig(Section):
    """Channels, thresholds and the objective."""

    emails: tuple[Annotated[str, Field(pattern=EMAIL)], ...] = Field(
        default=(),
        examples=["oncall@example.com"],
        description="Who is told. With nobody the alerts are there, and are seen in the console alone.",
    )
    alerts: AlertsConfig = AlertsConfig()
    availability_objective: float = Field(default=0.999, ge=0.9, le=0.9999, description="The most that Google takes.")
    uptime_period_seconds: Literal[60, 300, 600, 900] = 60
