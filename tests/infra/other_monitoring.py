"""Production with other settings of monitoring than its own, evaluated once for all tests."""

from runbooks.plan.model import Plan
from tests.contract.plans import planned

OWN = "holdfast-oncall@holdfast.example"
CHANGES = (
    ("monitoring.emails", f'["a@example.com", "{OWN}"]'),
    ("monitoring.alerts.pool_utilization", "0.5"),
    ("monitoring.alerts.p95_ms", "150"),
    ("monitoring.alerts.backup_age_hours", "30"),
    ("monitoring.alerts.verification_age_days", "9"),
    ("monitoring.alerts.cache_hit_ratio", "0.7"),
    ("monitoring.availability_objective", "0.9999"),
    ("monitoring.uptime_period_seconds", "300"),
    ("secrets.overdue_days", "3"),
)


def changed() -> Plan:
    """The plan."""
    return planned("prod", resolve=True, changes=CHANGES)
