"""Panels as a dashboard of Grafana: `python -m infra.monitoring.grafana` writes it anew.

Where the API itself says it, from Prometheus, which scrapes `/metrics`; all else from Cloud Monitoring.
"""

import json
from pathlib import Path
from typing import Any

from infra.monitoring.panel import Panel
from infra.monitoring.panels import panels
from infra.monitoring.series import Series
from infra.sections.monitoring import AlertsConfig

FILE = Path(__file__).parent.parent / "dashboards" / "grafana.json"
SCHEMA = 39
WIDTH, HEIGHT = 12, 8
SOURCES = {"prometheus": "Prometheus", "stackdriver": "Cloud Monitoring"}
# What a person types in once, and what it looks like.
EXAMPLES = {
    "project": "holdfast-prod",
    "database": "holdfast-prod:holdfast-database",
    "service": "holdfast-api",
    "cache": "projects/holdfast-prod/locations/us-central1/instances/holdfast-cache",
}


def document() -> dict[str, Any]:
    """The dashboard, to be imported."""
    shown = panels(AlertsConfig())
    return {
        "uid": "holdfast",
        "title": "Holdfast",
        "description": "Made by python -m infra.monitoring.grafana: changes are overwritten.",
        "tags": ["holdfast"],
        "schemaVersion": SCHEMA,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [*map(_source, SOURCES), *map(_variable, EXAMPLES)]},
        "panels": [_panel(number, panel) for number, panel in enumerate(shown)],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(document(), indent=2) + "\n"


def _source(kind: str) -> dict[str, Any]:
    return {"name": kind, "label": SOURCES[kind], "type": "datasource", "query": kind}


def _variable(name: str) -> dict[str, Any]:
    value = EXAMPLES[name]
    return {"name": name, "type": "textbox", "query": value, "current": {"text": value, "value": value}}


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    kind = "prometheus" if panel.scraped else "stackdriver"
    source = {"type": kind, "uid": f"${{{kind}}}"}
    targets = (
        [_scraped(legend, expression) for legend, expression in panel.scraped]
        if panel.scraped
        else [_read(line.legend, line.series) for line in panel.lines]
    )
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": panel.unit, **_limit(panel.limit)}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, **target} for place, target in enumerate(targets)
        ],
    }


def _limit(limit: float | None) -> dict[str, Any]:
    if limit is None:
        return {}
    steps = [{"color": "green", "value": None}, {"color": "red", "value": limit}]
    return {
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }


def _scraped(legend: str, expression: str) -> dict[str, Any]:
    return {"expr": expression, "legendFormat": legend}


def _read(legend: str, series: Series) -> dict[str, Any]:
    terms = {"metric.type": series.metric, "resource.type": series.resource, **series.where}
    filters: list[str] = []
    for name, value in terms.items():
        filters += [*(["AND"] if filters else []), name.replace(".labels.", ".label."), "=", value]
    return {
        "queryType": "timeSeriesList",
        "aliasBy": legend,
        "timeSeriesList": {
            "projectName": "$project",
            "filters": filters,
            "alignmentPeriod": "cloud-monitoring-auto",
            "perSeriesAligner": series.aligner,
            "crossSeriesReducer": series.reducer or "REDUCE_NONE",
            "groupBys": [one.replace(".labels.", ".label.") for one in series.by],
            "view": "FULL",
        },
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
