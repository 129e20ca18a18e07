"""Panels as a dashboard of Cloud Monitoring."""

from collections.abc import Callable, Sequence
from typing import Any

from infra.monitoring.panel import Line, Panel

COLUMNS, WIDTH, HEIGHT = 48, 24, 16
WINDOW = "60s"


def dashboard(title: str, panels: Sequence[Panel], fill: Callable[[str], str]) -> dict[str, Any]:
    """The document: https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards.

    Args:
        title: its name.
        panels: in reading order, two beside each other.
        fill: puts names in place of variables.
    """
    tiles = [
        {
            "xPos": number % 2 * WIDTH,
            "yPos": number // 2 * HEIGHT,
            "width": WIDTH,
            "height": HEIGHT,
            "widget": {"title": panel.title, "xyChart": _chart(panel, fill)},
        }
        for number, panel in enumerate(panels)
    ]
    return {"displayName": title, "mosaicLayout": {"columns": COLUMNS, "tiles": tiles}}


def _chart(panel: Panel, fill: Callable[[str], str]) -> dict[str, Any]:
    return {
        "chartOptions": {"mode": "COLOR"},
        "dataSets": [_data(line, fill) for line in panel.lines],
        "yAxis": {"scale": "LINEAR"},
        "thresholds": [] if panel.limit is None else [{"value": panel.limit}],
    }


def _data(line: Line, fill: Callable[[str], str]) -> dict[str, Any]:
    series = line.series
    aggregation: dict[str, Any] = {"alignmentPeriod": WINDOW, "perSeriesAligner": series.aligner}
    if series.reducer:
        aggregation["crossSeriesReducer"] = series.reducer
    if series.by:
        aggregation["groupByFields"] = list(series.by)
    legend = {"legendTemplate": line.legend} if line.legend else {}
    return {
        "plotType": "LINE",
        "targetAxis": "Y1",
        "minAlignmentPeriod": WINDOW,
        **legend,
        "timeSeriesQuery": {"timeSeriesFilter": {"filter": fill(series.filter), "aggregation": aggregation}},
    }
