"""A panel of a dashboard."""

from dataclasses import dataclass

from infra.monitoring.series import Series

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Line:
    """A line of a panel.

    Args:
        legend: its name; empty where its labels tell.
        series: of Cloud Monitoring.
    """

    legend: str
    series: Series


@dataclass(frozen=True)
class Panel:
    """A chart.

    Args:
        title: above it.
        unit: of Grafana's: percentunit, s, ms, short.
        lines: of Cloud Monitoring.
        scraped: by legend, the same by PromQL over `/metrics`; Grafana takes these where there are any.
        limit: from where on an alert is.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    scraped: tuple[tuple[str, str], ...] = ()
    limit: float | None = None


def percentiles(series: Series) -> tuple[Line, ...]:
    """Of a distribution: points and series are added up before a percentile is taken."""
    return tuple(
        Line(
            f"p{part}",
            Series(series.metric, series.resource, series.where, "ALIGN_DELTA", f"REDUCE_PERCENTILE_{part}"),
        )
        for part in PERCENTILES
    )


def quantiles(histogram: str) -> tuple[tuple[str, str], ...]:
    """Of a histogram that Prometheus scrapes."""
    return tuple(
        (f"p{part}", f"histogram_quantile({part / 100:g}, sum by (le) (rate({histogram}_bucket[5m])))")
        for part in PERCENTILES
    )
