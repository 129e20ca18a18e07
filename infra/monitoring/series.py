"""Time series as alerts and panels name them.

Texts have Grafana's variables, and the program puts names in their place: `$database` and each replica's are
PROJECT:INSTANCE, `$instance`, `$service`, `$url_map` and each `$job_…` are names, `$cache` is an id, `$check` and
`$slo` are of what monitoring makes itself, and `$prefix` begins each resource's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template

CLOUD_SQL = "cloudsql.googleapis.com/database"
INSTANCE = {"resource.labels.database_id": "$database"}


@dataclass(frozen=True)
class Series:
    """The series of one metric, and how they are made one.

    Args:
        metric: its type.
        resource: the type of what it is written for.
        where: labels that must be so, as `metric.labels.result`.
        aligner: of the points of one series within a window.
        reducer: of all series at a moment; each stays alone without one.
        by: the labels that the reducer keeps apart.
    """

    metric: str
    resource: str
    where: Mapping[str, str] = field(default_factory=dict)
    aligner: str = "ALIGN_MEAN"
    reducer: str | None = None
    by: tuple[str, ...] = ()

    @property
    def filter(self) -> str:
        """In Monitoring's language: equalities joined by AND."""
        terms = {"metric.type": self.metric, "resource.type": self.resource, **self.where}
        return " AND ".join(f'{name} = "{value}"' for name, value in terms.items())


def variables(text: str) -> frozenset[str]:
    """Which variables a text has."""
    return frozenset(Template(text).get_identifiers())


def instance(metric: str, aligner: str = "ALIGN_MEAN", reducer: str | None = None) -> Series:
    """A series of the primary, as `cpu/utilization`."""
    return Series(f"{CLOUD_SQL}/{metric}", "cloudsql_database", INSTANCE, aligner, reducer)


def promql_name(metric: str) -> str:
    """A metric's name in PromQL: https://cloud.google.com/monitoring/promql/promql-mapping, as of 2026-11."""
    domain, _, path = metric.partition("/")
    return f"{_word(domain)}:{_word(path)}"


def _word(text: str) -> str:
    return "".join(one if one.isalnum() else "_" for one in text)
