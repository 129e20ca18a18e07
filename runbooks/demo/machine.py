"""This machine's own CPU, memory, disk and load, sampled, ingested in batches and read back."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

import psutil

from runbooks.demo.client import ApiClient
from runbooks.demo.comparison import Claim, rows
from runtime.systems.utxoiq import schemas

PART = "machine"
METRICS = "/api/v1/monitoring/metrics"
SAMPLES_A_SECOND = 10
BATCH_ROWS = 200
LOAD_MINUTES = (1, 5, 15)


@dataclass(frozen=True)
class Reading:
    """One value of one instrument; `about` tells instruments of a type apart."""

    type: str
    value: float
    unit: str
    moment: datetime
    about: tuple[str, str | int] | None = None

    def body(self, service: str) -> dict[str, Any]:
        """As the API takes it."""
        return {
            "service_name": service,
            "metric_type": self.type,
            "metric_value": self.value,
            "unit": self.unit,
            "timestamp": self.moment.isoformat(),
            "metric_metadata": dict([self.about]) if self.about else None,
        }


def samples(seconds: float) -> int:
    """How many times the instruments are read in that time."""
    return max(1, round(seconds * SAMPLES_A_SECOND))


def compare_machine(client: ApiClient, run: str, *, seconds: float, advance: Callable[[], None]) -> list[Claim]:
    """Sample, ingest while sampling, and read back: every row, and what the API makes of them.

    Args:
        client: of the API.
        run: the name of the service; the run's own.
        seconds: how long to sample.
        advance: called for each sample.
    """
    taken: list[Reading] = []
    waiting: list[Reading] = []
    stored = 0
    for sample in _sample(seconds):
        taken += sample
        waiting += sample
        while len(waiting) >= BATCH_ROWS:
            stored += _ingest(client, run, waiting[:BATCH_ROWS])
            del waiting[:BATCH_ROWS]
        advance()
    stored += _ingest(client, run, waiting) if waiting else 0
    types = list(dict.fromkeys(reading.type for reading in taken))
    return [
        Claim(PART, "rows ingested", len(taken), stored),
        rows(PART, "rows read back, page by page", map(_row, taken), map(_stored_row, _read_back(client, run))),
        *(_compare_aggregate(client, run, [reading for reading in taken if reading.type == kind]) for kind in types),
    ]


def _sample(seconds: float) -> Iterator[list[Reading]]:
    # The first reading of a utilisation is measured from here on.
    psutil.cpu_percent(percpu=True)
    psutil.cpu_percent()
    beginning = time.monotonic()
    for number in range(1, samples(seconds) + 1):
        time.sleep(max(0.0, beginning + number / SAMPLES_A_SECOND - time.monotonic()))
        yield list(_read_instruments(datetime.now(UTC)))


def _read_instruments(now: datetime) -> Iterator[Reading]:
    for core, percent in enumerate(psutil.cpu_percent(percpu=True)):
        yield Reading("cpu_core", percent, "percent", now, ("core", core))
    yield Reading("cpu", psutil.cpu_percent(), "percent", now)
    memory = psutil.virtual_memory()
    yield Reading("memory", memory.percent, "percent", now)
    yield Reading("memory_available", float(memory.available), "bytes", now)
    yield Reading("disk_usage", psutil.disk_usage(os.sep).percent, "percent", now, ("path", os.sep))
    # Some containers show no disk, only the file systems on it.
    disk = psutil.disk_io_counters()
    if disk is not None:
        yield Reading("disk_read", float(disk.read_bytes), "bytes", now)
        yield Reading("disk_written", float(disk.write_bytes), "bytes", now)
    for minutes, load in zip(LOAD_MINUTES, psutil.getloadavg(), strict=True):
        yield Reading("load", load, "processes", now, ("minutes", minutes))


def _ingest(client: ApiClient, service: str, batch: Sequence[Reading]) -> int:
    body = {"metrics": [reading.body(service) for reading in batch]}
    return client.post(schemas.Recorded, f"{METRICS}/batch", body).recorded


def _read_back(client: ApiClient, service: str) -> Iterator[schemas.Metric]:
    for page in client.pages(schemas.MetricList, METRICS, service_name=service):
        yield from page.metrics


def _row(reading: Reading) -> tuple[str, float, str, datetime, str]:
    about = dict([reading.about]) if reading.about else None
    return reading.type, reading.value, reading.unit, reading.moment, json.dumps(about)


def _stored_row(metric: schemas.Metric) -> tuple[str, float, str, datetime, str]:
    about = json.dumps(metric.metric_metadata)
    return metric.metric_type, metric.metric_value, metric.unit, metric.timestamp, about


def _compare_aggregate(client: ApiClient, service: str, readings: Sequence[Reading]) -> Claim:
    kind, unit = readings[0].type, readings[0].unit
    found = client.get(
        schemas.AggregateList,
        f"{METRICS}/aggregate",
        service_name=service,
        metric_type=kind,
        start=readings[0].moment.isoformat(),
        # The end is not included.
        end=(readings[-1].moment + timedelta(microseconds=1)).isoformat(),
    ).buckets
    values = [reading.value for reading in readings]
    put_in = {"count": len(values), "avg": fmean(values), "min": min(values), "max": max(values)}
    return Claim(PART, f"{kind}, {unit}", put_in, _whole(found))


def _whole(buckets: Sequence[schemas.Bucket]) -> dict[str, float]:
    """Several hours as one; a run may see the hour end."""
    if not buckets:
        return {"count": 0}
    count = sum(bucket.count for bucket in buckets)
    return {
        "count": count,
        "avg": sum(bucket.avg_value * bucket.count for bucket in buckets) / count,
        "min": min(bucket.min_value for bucket in buckets),
        "max": max(bucket.max_value for bucket in buckets),
    }
