"""Batches of metrics: as JSON over HTTP into our server, and as CSV through psql's copy into the same partitions."""

import csv
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.client import encode, send_all
from tests.bench.database import copy_seconds
from tests.bench.world import World

BATCH = 5_000
SENDERS = 4
TABLE = "system_metrics"
COLUMNS = ("service_name", "metric_type", "metric_value", "unit", "timestamp", "metric_metadata")
PATH = "/api/v1/monitoring/metrics/batch"
_KINDS = (("cpu", "percent"), ("memory", "percent"), ("latency", "ms"), ("errors", "count"), ("requests", "count"))


class Ingest:
    """The same batches for both ways, from this month's partition into the next one."""

    def __init__(self, world: World, folder: Path, *, batches: int) -> None:
        self._world = world
        self.rows = batches * BATCH
        self._requests: list[bytes] = []
        self._files: list[Path] = []
        for number in range(batches):
            rows = list(_rows(number * BATCH, self.rows))
            body = json.dumps({"metrics": rows}, separators=(",", ":")).encode()
            self._requests.append(encode(PATH, world.headers, body=body))
            self._files.append(folder / f"metrics-{number}.csv")
            with self._files[-1].open("w", newline="") as file:
                csv.writer(file).writerows(
                    [*list(row.values())[:-1], json.dumps(row["metric_metadata"])] for row in rows
                )

    def ours(self, senders: int = SENDERS) -> float:
        """Rows a second over HTTP."""
        self._empty()
        return self.rows / uvloop.run(send_all(self._world.api.port, self._requests, connections=senders))

    def copy(self) -> float:
        """Rows a second by psql, as the same login."""
        self._empty()
        world = self._world
        return self.rows / copy_seconds(world.programs, world.login, TABLE, COLUMNS, self._files)

    def _empty(self) -> None:
        self._world.execute(f"TRUNCATE {TABLE}")
        # Neither pays for what the other left to be written.
        self._world.execute("CHECKPOINT")


def _rows(first: int, total: int) -> Iterator[dict[str, Any]]:
    month = dt.datetime.now(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    step = dt.timedelta(days=55) / total
    for number in range(first, first + BATCH):
        kind, unit = _KINDS[number % len(_KINDS)]
        yield {
            "service_name": f"service-{number // len(_KINDS) % 20}",
            "metric_type": kind,
            "metric_value": number * 7919 % 10_000 / 100,
            "unit": unit,
            "timestamp": (month + number * step).isoformat(),
            "metric_metadata": {"host": f"node-{number % 8}", "zone": "europe-west1-b"},
        }
