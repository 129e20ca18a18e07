"""What the dashboards show, once: written for Cloud Monitoring and for Grafana."""

from infra.monitoring import api_panels, database_panels
from infra.monitoring.panel import Panel
from infra.sections.monitoring import AlertsConfig


def panels(limits: AlertsConfig) -> tuple[Panel, ...]:
    """All, in reading order: the API, the database, the cache, what runs on its own."""
    return (
        *api_panels.api(),
        *database_panels.database(limits),
        *api_panels.cache(limits),
        *database_panels.recovery(limits),
    )
