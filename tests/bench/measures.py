"""The measurements, in the order of the table."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis
import uvloop

from runtime.systems.ard import service, views
from tests.bench import answers, data, procedures, sandbox
from tests.bench.client import encode, open_loop
from tests.bench.database import PGBENCH_CLIENTS, Pgbench
from tests.bench.ingest import SENDERS, Ingest
from tests.bench.load import CONNECTIONS, Generator
from tests.bench.results import Result, Results, medians, percentile
from tests.bench.world import POOL, World, running

RATE = 100
WARM_UP_SECONDS = 1.0
# Our own statements, for pgbench.
LIST_SQL = views.EXPERIMENTS._query(frozenset(), False)
POINT_SQL = service._EXPERIMENT
LIST_VALUES = {"limit": 100}
STATS = f"/api/v1/feedback/stats?insight_id={data.INSIGHT}"
NOOP = "/health/live"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    experiments: int = 10_000
    rounds: int = 3
    seconds: float = 3.0
    batches: int = 10
    paced_seconds: float = 6.0
    workers: int = 2
    with_postgrest: bool = True
    warm_up: bool = True
    wrk: bool = True
    sandbox_rows: int = 1_000_000


SMOKE = Size(
    experiments=200,
    rounds=1,
    seconds=0.2,
    batches=1,
    paced_seconds=0.5,
    workers=1,
    with_postgrest=False,
    warm_up=False,
    wrk=False,
    sandbox_rows=5_000,
)


def measure(folder: Path, size: Size, tell: Callable[[str], None]) -> Results:
    """Everything, one after the other."""
    load, _, _ = os.getloadavg()
    tell("starting PostgreSQL, Valkey and the servers")
    with running(
        folder, experiments=size.experiments, workers=size.workers, with_postgrest=size.with_postgrest
    ) as world:
        run = _Run(world, size, load)
        for part in (run.reads, run.row_cost, run.cached_vs_noop, run.ingest, run.paced):
            tell(f"measuring: {part.__name__}")
            part()
        run.records()
    # When nothing else runs any more.
    tell("measuring: procedures")
    procedures.measure(folder, run.results, rounds=size.rounds)
    sandbox.measure(folder, run.results, rows=size.sandbox_rows, rounds=size.rounds, tell=tell)
    return run.results


class _Run:
    def __init__(self, world: World, size: Size, load: float) -> None:
        self._world, self._size, self._load = world, size, load
        self._seconds = size.seconds
        self._generator = Generator(world.folder, wrk=shutil.which("wrk") if size.wrk else None)
        self._idents = data.experiment_ids(size.experiments)
        self._pgbench = Pgbench(world.programs, world.login, world.folder)
        self.results = Results(notes=world.notes)

    def reads(self) -> None:
        """A list of 100 experiments, and one experiment with its campaign."""
        world = self._world
        self._ensure_same_answers()
        sides = {
            "plain": (world.plain.port, answers.plain_list(), answers.plain_point, {}),
            "ours": (world.api.port, answers.ours_list(), answers.ours_point, world.headers),
        }
        if world.postgrest is not None:
            sides["postgrest"] = (world.postgrest.port, answers.postgrest_list(), answers.postgrest_point, {})
        lists: dict[str, Callable[[], float]] = {}
        points: dict[str, Callable[[], float]] = {}
        for name, (port, listed, point, headers) in sides.items():
            lists[name] = partial(self._rate, port, [listed], headers)
            points[name] = partial(self._rate, port, [point(ident) for ident in self._idents], headers)
        seconds = self._size.seconds
        lists["pgbench"] = partial(self._pgbench.rate, LIST_SQL, LIST_VALUES, seconds=seconds)
        points["pgbench"] = partial(self._pgbench.rate, POINT_SQL, {"key": self._idents[0]}, seconds=seconds)
        for what, kind in (("list", lists), ("point", points)):
            self._warm_up(kind)
            rates = medians(kind, rounds=self._size.rounds)
            meaning = "a list of 100 experiments" if what == "list" else "one experiment and its campaign"
            for peer, words in (
                ("postgrest", "PostgREST 12"),
                ("plain", "FastAPI + ORM + pydantic"),
                ("pgbench", "the same SQL by pgbench, no server"),
            ):
                if peer in rates:
                    self._add(f"{what}_vs_{peer}", rates["ours"], rates[peer], "req/s", f"{meaning}; peer: {words}")
            if what == "point":
                self._db_qps = rates["pgbench"]

    def row_cost(self) -> None:
        """What a row of a long list costs, and of one of the usual length."""
        rate = partial(self._rate, self._world.api.port, headers=self._world.headers)
        sides = {str(limit): partial(rate, [answers.ours_list(limit)]) for limit in (10, 100, 1000)}
        self._warm_up(sides)
        cost = {
            int(limit): 1e6 / found / int(limit) for limit, found in medians(sides, rounds=self._size.rounds).items()
        }
        self._add("list_row_cost", cost[1000], cost[100], "µs/row", "a row of a list of 1,000; peer: of a list of 100")
        self._add("list_row_cost_10", cost[100], cost[10], "µs/row", "a row of a list of 100; peer: of a list of 10")

    def cached_vs_noop(self) -> None:
        """A cached read, where reads are cached."""
        world = self._world
        hits, misses = self._cache_counts()
        for _ in range(20):
            answers.fetch(world.api.port, STATS, world.headers)
        if self._cache_counts()[0] - hits < 10:
            self.results.notes.append("cached_vs_noop is left out: GET stats does not come from the cache")
            return
        sides = {
            "cached": partial(self._rate, world.api.port, [STATS], world.headers),
            "noop": partial(self._rate, world.api.port, [NOOP], {}),
        }
        self._warm_up(sides)
        found = medians(sides, rounds=self._size.rounds)
        meaning = f"feedback stats from the cache; peer: {NOOP}, which does nothing"
        self._add("cached_vs_noop", found["cached"], found["noop"], "req/s", meaning)
        later = self._cache_counts()
        share = (later[0] - hits) / max(1, later[0] - hits + later[1] - misses)
        times = self._latencies(STATS)
        self._add(
            "cache_hit_ms", percentile(times, 0.5), None, "ms", f"feedback stats from the cache at {RATE}/s, median"
        )
        self._add("cache_hit_rate", share, None, "share", "of the reads of feedback stats under load")

    def ingest(self) -> None:
        """Batches of metrics against psql's copy."""
        ingest = Ingest(self._world, self._world.folder, batches=self._size.batches)
        sides: dict[str, Callable[[], float]] = {
            "ours": ingest.ours,
            "one": partial(ingest.ours, 1),
            "copy": ingest.copy,
        }
        self._warm_up(sides)
        found = medians(sides, rounds=self._size.rounds)
        meaning = "batches of 5,000 metrics as JSON, {}; peer: psql \\copy, one session"
        self._add("ingest_vs_copy", found["ours"], found["copy"], "rows/s", meaning.format(f"{SENDERS} senders"))
        self._add("ingest_one_sender", found["one"], found["copy"], "rows/s", meaning.format("1 sender"))

    def paced(self) -> None:
        """Waiting times at a rate that leaves the servers time."""
        times = self._latencies(answers.ours_list())
        self._add("api_p95_ms", percentile(times, 0.95), None, "ms", f"a list of 100 experiments at {RATE} requests/s")
        times = self._pgbench.latencies(LIST_SQL, LIST_VALUES, rate=RATE, seconds=self._size.paced_seconds)
        self._add("query_p95_ms", percentile(times, 0.95), None, "ms", f"its SQL by pgbench at {RATE} statements/s")

    def records(self) -> None:
        """What has no peer."""
        world = self._world
        self._add("db_qps", self._db_qps, None, "queries/s", f"one experiment by pgbench, {PGBENCH_CLIENTS} sessions")
        self._add("startup_ms", world.startup_ms, None, "ms", "from the command to ready")
        self._add("rss_mb", world.worker_rss_mb(), None, "MB", "the largest worker after the load")
        self.results.notes += [
            f"medians of {self._size.rounds}, the sides taking turns; load average before the run: {self._load:.2f}",
            f"{CONNECTIONS} connections; each server has {self._size.workers} workers and {POOL} database connections",
            f"load by {self._generator.name}, which took at most {self._generator.most_cpu:.2f} of a core",
            "ours authenticates, validates, limits, measures and logs each request; the plain one validates and logs",
        ]
        if world.postgrest is not None:
            self.results.notes.append(
                "PostgREST is 12.0.2, an old build, the newest on npm; it has threads for workers and serves views"
            )

    def _ensure_same_answers(self) -> None:
        world, ident = self._world, self._idents[-1]
        listed = answers.from_ours(answers.fetch(world.api.port, answers.ours_list(), world.headers))
        point = answers.from_ours(answers.fetch(world.api.port, answers.ours_point(ident), world.headers))
        plain, postgrest = world.plain.port, world.postgrest
        answers.ensure_same("the plain application", listed, answers.fetch(plain, answers.plain_list()))
        answers.ensure_same("the plain application", point, answers.fetch(plain, answers.plain_point(ident)))
        if postgrest is not None:
            answers.ensure_same("PostgREST", listed, answers.fetch(postgrest.port, answers.postgrest_list()))
            answers.ensure_same("PostgREST", [point], answers.fetch(postgrest.port, answers.postgrest_point(ident)))

    def _rate(self, port: int, paths: list[str], headers: dict[str, str]) -> float:
        return self._generator.rate(port, paths, headers, seconds=self._seconds)

    def _latencies(self, path: str) -> list[float]:
        requests = [encode(path, self._world.headers)]
        return uvloop.run(open_loop(self._world.api.port, requests, rate=RATE, seconds=self._size.paced_seconds))

    def _warm_up(self, sides: Mapping[str, Callable[[], float]]) -> None:
        self._seconds = WARM_UP_SECONDS
        for measure in sides.values() if self._size.warm_up else ():
            measure()
        self._seconds = self._size.seconds

    def _cache_counts(self) -> tuple[int, int]:
        with redis.Redis.from_url(self._world.cache_url) as client:
            stats = client.info("stats")
        return stats["keyspace_hits"], stats["keyspace_misses"]

    def _add(self, name: str, ours: float, peer: float | None, unit: str, meaning: str) -> None:
        self.results.found[name] = Result(ours, peer, unit, meaning)
