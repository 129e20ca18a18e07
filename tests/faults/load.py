"""Callers of the API who write down what they were told, and what must be true of the database afterwards."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
from sqlalchemy import Connection

from tests.caches import until
from tests.conftest import TestDatabase
from tests.faults.platform import Api
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.world import EXPERIMENTS, FEEDBACK, METRIC, METRICS, RUNS, post

CALLERS = 8
BATCH = 40
RECOVERY_SECONDS = 15.0


class Ledger:
    """What callers tried, and what they were told."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.is_over = False
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.lost: list[httpx.TransportError] = []
        self.tried: set[str] = set()
        self.made: set[str] = set()
        self.completed: dict[str, float] = {}
        self.tried_batches: set[str] = set()
        self.batches: set[str] = set()
        # By insight: the last comment that was tried, and the last that was acknowledged.
        self.tried_comments: dict[str, int] = {}
        self.comments: dict[str, int] = {}

    @property
    def answered(self) -> int:
        """How many calls succeeded."""
        return sum(number for status, number in self.statuses.items() if status < 300)

    @property
    def unavailable(self) -> int:
        """How many calls were told to come again."""
        return self.statuses[503]


class Caller:
    """One caller: writes of every kind, and reads of what it wrote."""

    def __init__(self, ledger: Ledger, client: httpx.AsyncClient, number: int) -> None:
        self._ledger = ledger
        self._client = client
        self._name = f"{ledger.run}-{number}"
        self._insight = f"insight-{self._name}"

    async def call(self) -> None:
        """Go on until the end."""
        turns = itertools.count(1)
        while not self._ledger.is_over:
            turn = next(turns)
            await self._experiment(turn)
            await self._batch(turn)
            await self._comment(turn)
            await self._look()

    async def _experiment(self, turn: int) -> None:
        ledger, ident, value = self._ledger, f"{self._name}-{turn}", float(turn)
        ledger.tried.add(ident)
        completed = {"status": "completed", "result_value": value}
        body: dict[str, Any] = {"id": ident, "optimization_run_id": ledger.run}
        if turn % 2:
            if await self._send("POST", EXPERIMENTS, {**body, **completed}):
                ledger.made.add(ident)
                ledger.completed[ident] = value
        elif await self._send("POST", EXPERIMENTS, body):
            ledger.made.add(ident)
            if await self._send("PATCH", f"{EXPERIMENTS}/{ident}", completed):
                ledger.completed[ident] = value

    async def _batch(self, turn: int) -> None:
        service = f"{self._name}-{turn}"
        self._ledger.tried_batches.add(service)
        rows = [{**METRIC, "service_name": service, "metric_value": number} for number in range(BATCH)]
        if await self._send("POST", f"{METRICS}/batch", {"metrics": rows}):
            self._ledger.batches.add(service)

    async def _comment(self, turn: int) -> None:
        self._ledger.tried_comments[self._insight] = turn
        if await self._send("POST", f"{FEEDBACK}/comment", {"insight_id": self._insight, "comment": str(turn)}):
            self._ledger.comments[self._insight] = turn

    async def _look(self) -> None:
        ledger = self._ledger
        await self._send("GET", EXPERIMENTS)
        mine = [ident for ident in ledger.completed if ident.startswith(f"{self._name}-")]
        if mine and (answer := await self._send("GET", f"{EXPERIMENTS}/{mine[-1]}")):
            assert answer.json()["experiment"]["result_value"] == ledger.completed[mine[-1]]

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response | None:
        """The answer; None when it says that the call may be made again, or when there is none."""
        ledger, began = self._ledger, time.monotonic()
        try:
            answer = await self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            ledger.lost.append(error)
            await asyncio.sleep(0.01)
            return None
        ledger.slowest = max(ledger.slowest, time.monotonic() - began)
        # Callers leave the machine to others now and then.
        await asyncio.sleep(0.01)
        ledger.statuses[answer.status_code] += 1
        if answer.is_success:
            return answer
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        return None


@asynccontextmanager
async def calling(api: Api, key: str, run: str) -> AsyncIterator[Ledger]:
    """Eight callers until the end of the block; a wrong answer to any of them fails."""
    ledger = Ledger(run)
    async with api.client(key) as client, asyncio.TaskGroup() as group:
        await post(client, RUNS, {"id": run, "method": "bayesian_optimization", "objective": "maximize"})
        for number in range(CALLERS):
            group.create_task(Caller(ledger, client, number).call())
        yield ledger
        ledger.is_over = True


async def more(ledger: Ledger, what: Literal["answered", "unavailable"], number: int) -> None:
    """Wait until so many more calls have ended in this way; fail when the API does not recover."""
    enough = getattr(ledger, what) + number

    async def is_enough() -> bool:
        return getattr(ledger, what) >= enough

    await until(is_enough, seconds=RECOVERY_SECONDS)


def assert_kept(database: TestDatabase, ledger: Ledger) -> None:
    """All that was acknowledged is there, nothing is there by half, and what follows from other rows agrees."""
    engine = database.engine()
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT id, status, result_value FROM experiments WHERE optimization_run_id = %s", (ledger.run,)
        ).all()
        completed = {row.id: row.result_value for row in rows if row.status == "completed"}
        _assert_between(ledger.made, {row.id for row in rows}, ledger.tried)
        _assert_between(ledger.completed.items(), completed.items(), completed.items())
        run = connection.exec_driver_sql(
            "SELECT num_experiments, best_value FROM optimization_runs WHERE id = %s", (ledger.run,)
        ).one()
        rolled_up = len(completed), max(completed.values())
        assert (run.num_experiments, run.best_value) == rolled_up, f"{run} does not follow from {rolled_up}"
        batches = dict(_counts(connection, ledger.run))
        _assert_between(ledger.batches, batches.keys(), ledger.tried_batches)
        assert set(batches.values()) == {BATCH}, f"a batch is there by half: {batches}"
        comments = connection.exec_driver_sql(
            "SELECT insight_id, comment FROM insight_feedback WHERE insight_id LIKE %s", (f"insight-{ledger.run}-%",)
        ).all()
        said = {row.insight_id: int(row.comment) for row in comments}
        _assert_between(ledger.comments.keys(), said.keys(), ledger.tried_comments.keys())
        for insight, comment in said.items():
            told, tried = ledger.comments.get(insight, 0), ledger.tried_comments[insight]
            assert told <= comment <= tried, f"{insight}: {comment}, and {told} was acknowledged"
    engine.dispose()


def _assert_between(acknowledged: AbstractSet[object], kept: AbstractSet[object], tried: AbstractSet[object]) -> None:
    """All that was acknowledged is kept, and nothing that nobody tried."""
    assert acknowledged <= kept, f"lost: {acknowledged - kept}"
    assert kept <= tried, f"nobody tried: {kept - tried}"


def _counts(connection: Connection, run: str) -> Iterator[tuple[str, int]]:
    found = connection.exec_driver_sql(
        "SELECT service_name, count(*) FROM system_metrics WHERE service_name LIKE %s GROUP BY 1", (f"{run}-%",)
    )
    for row in found:
        yield row[0], row[1]
