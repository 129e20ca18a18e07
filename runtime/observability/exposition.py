"""An instance's figures as Prometheus reads them, under OpenTelemetry's names."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import exposition as text
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from runtime.observability.histogram import BOUNDS, Histogram
from runtime.observability.snapshot import Instance

# OpenTelemetry's advice, and the threshold of the sources; all are bounds of the histogram.
_HTTP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_DATABASE_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0)


def written(instance: Instance, accept: str) -> tuple[bytes, str]:
    """The figures, and their media type: OpenMetrics for who takes it, else Prometheus' text.

    Args:
        instance: whose figures.
        accept: the caller's header.
    """
    if "application/openmetrics-text" in accept:
        body: bytes = openmetrics.generate_latest(_Collected(instance))  # type: ignore[no-untyped-call]  # theirs
        return body, openmetrics.CONTENT_TYPE_LATEST
    return text.generate_latest(_Collected(instance)), text.CONTENT_TYPE_PLAIN_0_0_4


class _Collected(Collector):
    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from _http(self._instance)
        yield from _statements(self._instance)
        yield from _connections(self._instance)
        yield from _cache(self._instance)
        yield from _processes(self._instance)


def _http(instance: Instance) -> Iterator[Metric]:
    labels = ["http_request_method", "http_route", "http_response_status_code"]
    durations = HistogramMetricFamily(
        "http_server_request_duration_seconds", "Requests; no route: no template fits.", labels=labels
    )
    for row in instance.totals.served:
        _add(durations, [row.method, row.route, str(row.status or "")], row.durations, _HTTP_BOUNDS)
    yield durations
    active: defaultdict[str, int] = defaultdict(int)
    for worker in instance.workers:
        for method, number in worker.active.items():
            active[method] += number
    under_way = GaugeMetricFamily("http_server_active_requests", "Under way.", labels=["http_request_method"])
    for method, number in active.items():
        under_way.add_metric([method], number)
    yield under_way


def _statements(instance: Instance) -> Iterator[Metric]:
    labels = ["db_system_name", "db_operation_name", "db_query_summary", "query_hash", "error_type"]
    durations = HistogramMetricFamily(
        "db_client_operation_duration_seconds", "Statements, without the wait for a connection.", labels=labels
    )
    for row in instance.totals.performed:
        if row.durations.count:
            values = ["postgresql", row.operation, row.summary, row.digest, row.error_type]
            _add(durations, values, row.durations, _DATABASE_BOUNDS)
    yield durations


def _connections(instance: Instance) -> Iterator[Metric]:
    pools = [worker.pool for worker in instance.workers]
    used = sum(pool.in_use for pool in pools)
    count = GaugeMetricFamily("db_client_connection_count", "Open connections.", labels=["state"])
    count.add_metric(["used"], used)
    count.add_metric(["idle"], max(0, sum(pool.size for pool in pools) - used))
    yield count
    yield GaugeMetricFamily("db_client_connection_max", "Most connections.", value=sum(pool.largest for pool in pools))
    yield GaugeMetricFamily(
        "db_client_connection_pending_requests",
        "Who waits for a connection.",
        value=sum(pool.waiting for pool in pools),
    )
    waits = HistogramMetricFamily("db_client_connection_wait_time_seconds", "To have a connection.", labels=[])
    _add(waits, [], instance.totals.waits, _DATABASE_BOUNDS)
    yield waits
    yield CounterMetricFamily(
        "db_client_connection_timeouts", "Waits that ended without a connection.", value=instance.totals.timeouts
    )


def _cache(instance: Instance) -> Iterator[Metric]:
    requests = CounterMetricFamily("holdfast_cache_requests", "Reads by outcome.", labels=["family", "outcome"])
    for family, outcome, number in instance.totals.cache:
        requests.add_metric([family, outcome], number)
    yield requests


def _processes(instance: Instance) -> Iterator[Metric]:
    memory = GaugeMetricFamily("process_memory_usage_bytes", "Resident memory of a worker.", labels=["process_pid"])
    cpu = CounterMetricFamily("process_cpu_time_seconds", "CPU time of a worker.", labels=["process_pid"])
    for worker in instance.workers:
        memory.add_metric([str(worker.pid)], worker.memory_bytes)
        cpu.add_metric([str(worker.pid)], worker.cpu_seconds)
    yield memory
    yield cpu


def _add(family: HistogramMetricFamily, labels: Sequence[str], durations: Histogram, bounds: Sequence[float]) -> None:
    upto = dict(zip(BOUNDS, accumulate(durations.counts), strict=False))
    buckets = [(str(bound), upto[bound]) for bound in bounds]
    family.add_metric(labels, [*buckets, ("+Inf", durations.count)], durations.total)
