"""Callers who repeat a call with its Idempotency-Key until it is answered: carried out once, whatever breaks."""

import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path

import httpx

from runbooks.local.ports import HOST
from runbooks.local.postgres import PostgresServer
from tests.caches import until
from tests.conftest import TestDatabase
from tests.faults.platform import Api, kill_postgres, serving
from tests.runtime.api.world import EXPERIMENTS

CALLERS = 6


class Caller:
    """One caller; it hangs up on every third call before it hears an answer."""

    def __init__(self, api: Api, client: httpx.AsyncClient, number: int) -> None:
        self._api, self._client, self._number = api, client, number
        self.statuses: Counter[int] = Counter()
        self.made: dict[str, str] = {}
        self.is_over = False

    async def call(self) -> None:
        for turn in itertools.count():
            if self.is_over:
                return
            name = f"{self._number}-{turn}"
            body = json.dumps({"name": name})
            headers = {"Content-Type": "application/json", "Idempotency-Key": name}
            if turn % 3 == 0:
                await self._hang_up(body, headers)
            while (answer := await self._client.post(EXPERIMENTS, content=body, headers=headers)).status_code != 201:
                self.statuses[answer.status_code] += 1
                assert answer.status_code in {409, 503}, answer.text
                await asyncio.sleep(0.02)
            self.statuses[201] += 1
            self.made[name] = answer.json()["id"]

    async def _hang_up(self, body: str, headers: dict[str, str]) -> None:
        key = self._client.headers["X-API-Key"]
        given = {"Host": "api", "Content-Length": len(body), "X-API-Key": key, **headers}
        lines = [f"POST {EXPERIMENTS} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        _, writer = await asyncio.open_connection(HOST, self._api.port)
        writer.write("\r\n".join([*lines, "", body]).encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def test_each_key_is_carried_out_once_through_a_kill(
    own_server: PostgresServer, own_database: TestDatabase, key: str, tmp_path: Path
) -> None:
    with serving(own_database, tmp_path, LOG_LEVEL="WARNING") as api:
        async with api.client(key) as client, asyncio.TaskGroup() as group:
            callers = [Caller(api, client, number) for number in range(CALLERS)]
            for caller in callers:
                group.create_task(caller.call())
            for fault in (None, kill_postgres):
                if fault is not None:
                    await asyncio.to_thread(fault, own_server)
                    await until(lambda: _all_have(callers, 503, 1))
                    own_server.start()
                    await asyncio.to_thread(own_server.wait_ready)
                done = {caller: caller.statuses[201] for caller in callers}
                await until(lambda done=done: _all_have(callers, 201, max(done.values()) + 5))
            for caller in callers:
                caller.is_over = True
    engine = own_database.engine()
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, id FROM experiments WHERE optimization_run_id IS NULL").all()
    engine.dispose()
    made = {name: ident for caller in callers for name, ident in caller.made.items()}
    assert sorted(map(tuple, rows)) == sorted(made.items())


async def _all_have(callers: list[Caller], status: int, number: int) -> bool:
    return all(caller.statuses[status] >= number for caller in callers)
