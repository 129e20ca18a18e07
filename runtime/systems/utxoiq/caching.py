"""Which of utxoIQ's answers are kept, for how long, and which writes end them."""

import itertools
import uuid
from collections.abc import Iterable
from typing import Any

from runtime.cache.cache import Entry, Family, scope

FIVE_MINUTES, HOUR = 300, 3600
STATS = Family("utxoiq:stats", HOUR)
JOB = Family("utxoiq:job", FIVE_MINUTES)
JOBS = Family("utxoiq:jobs", FIVE_MINUTES)
METRICS = Family("utxoiq:metrics", FIVE_MINUTES)
AGGREGATES = Family("utxoiq:aggregates", HOUR)
SERVICES = Family("utxoiq:services", HOUR)

# Any job: which one a claim takes is known only when it is taken.
CLAIMS = scope("utxoiq", "claims")
ALL_JOBS = scope("utxoiq", "jobs")
# A batch of more services and types than this ends the answers about all of them.
ALL_METRICS = scope("utxoiq", "all_metrics")
MOST_SCOPES = 50


def of_insight(insight_id: str) -> str:
    """The feedback on an insight."""
    return scope("utxoiq", "feedback", insight_id)


def of_job(job_id: uuid.UUID) -> str:
    """A job."""
    return scope("utxoiq", "job", job_id)


def of_metrics(service_name: str | None, metric_type: str | None) -> str:
    """The measurements of a service, of a type, of both, or all of them."""
    return scope("utxoiq", "metrics", service_name, metric_type)


def of_measured(pairs: Iterable[tuple[str, str]]) -> set[str]:
    """What measurements of these services and types belong to."""
    scopes: set[str] = set()
    for service_name, metric_type in set(pairs):
        scopes |= {of_metrics(*pair) for pair in itertools.product((service_name, None), (metric_type, None))}
        if len(scopes) > MOST_SCOPES:
            return {ALL_METRICS}
    return scopes


def stats(insight_id: str) -> Entry:
    """The feedback on an insight, counted."""
    return Entry(STATS, {"insight_id": insight_id}, (of_insight(insight_id),))


def job(job_id: uuid.UUID) -> Entry:
    """A job."""
    return Entry(JOB, {"id": job_id}, (of_job(job_id), CLAIMS))


def jobs(**asked: Any) -> Entry:
    """A page of jobs."""
    return Entry(JOBS, asked, (ALL_JOBS,))


def metrics(*, service_name: str | None, metric_type: str | None, **asked: Any) -> Entry:
    """A page of measurements."""
    return _measured(METRICS, service_name, metric_type, asked)


def aggregate(*, service_name: str, metric_type: str, **asked: Any) -> Entry:
    """Measurements by the hour or day."""
    return _measured(AGGREGATES, service_name, metric_type, asked)


def services(*, metric_type: str, **asked: Any) -> Entry:
    """Services above a threshold."""
    return _measured(SERVICES, None, metric_type, asked)


def _measured(family: Family, service_name: str | None, metric_type: str | None, asked: dict[str, Any]) -> Entry:
    filters = {"service_name": service_name, "metric_type": metric_type, **asked}
    return Entry(family, filters, (of_metrics(service_name, metric_type), ALL_METRICS))
