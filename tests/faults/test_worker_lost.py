"""A worker dies, or the API is told to stop: nothing that was answered is lost, nothing unanswered was done."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.caches import until
from tests.conftest import TestDatabase
from tests.faults.load import CALLERS, assert_kept, calling, more
from tests.faults.platform import WORKERS, Api, serving, waiting_for_locks
from tests.runtime.api.world import BACKFILL, EXPERIMENTS, post, start_job

STOP_SECONDS, RESTART_SECONDS = 10.0, 30.0


async def test_a_worker_is_killed_under_load(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    key = make_key()
    with serving(database, tmp_path, LOG_LEVEL="WARNING") as api:
        async with api.client(key) as client:
            job = await start_job(client, "blocks")
            claim = await post(client, f"{BACKFILL}/claim", {"worker": "w"})
        async with calling(api, key, "killed") as ledger:
            await more(ledger, "answered", 100)
            victim, other = api.workers()
            victim.kill()
            await more(ledger, "answered", 100)

            async with asyncio.timeout(RESTART_SECONDS):
                while not _are_serving(api, database, other_than=victim):
                    await more(ledger, "answered", 50)
            await more(ledger, "answered", 100)
        # Only those whose connection it held heard nothing, each once.
        assert len(ledger.lost) <= CALLERS
        assert ledger.unavailable == 0
        assert other.is_running()
        assert_kept(database, ledger)
        # Another worker goes on with what the first one gave out.
        async with api.client(key) as client:
            for block in range(4):
                report = {"job_id": job, "current_block": block, "fencing_token": claim["fencing_token"]}
                told = await post(client, f"{BACKFILL}/progress", report)
                assert (told["current_block"], told["lease_owner"]) == (block, "w")
            assert (await client.post(f"{BACKFILL}/claim", json={"worker": "other"})).status_code == 204


async def test_it_is_told_to_stop_under_load(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    key = make_key()
    engine = database.engine()

    async def waits() -> bool:
        return waiting_for_locks(database) > 0

    with serving(database, tmp_path, LOG_LEVEL="WARNING") as api:
        async with calling(api, key, "stopped") as ledger, api.client(key) as client:
            await more(ledger, "answered", 100)
            await post(client, EXPERIMENTS, {"id": "held"})
            with engine.connect() as connection:
                connection.exec_driver_sql("UPDATE experiments SET name = 'held' WHERE id = 'held'")
                accepted = asyncio.create_task(client.patch(f"{EXPERIMENTS}/held", json={"result_value": 1.0}))
                await until(waits)
                workers, began = api.workers(), time.monotonic()
                api.terminate()
                # One that had begun is waited for; nobody else is let in.
                await until(lambda: _nobody_listens(workers))
                assert api.exit_code is None
                connection.rollback()
            assert (await accepted).status_code == 200

            async def has_ended() -> bool:
                return api.exit_code is not None

            await until(has_ended, seconds=STOP_SECONDS)
        assert time.monotonic() - began < STOP_SECONDS
        assert api.exit_code == 0
    assert ledger.unavailable == 0
    assert_kept(database, ledger)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id FROM experiments WHERE optimization_run_id = 'stopped'").scalars()
        assert set(rows) == ledger.made, "somebody who was not answered had it done"
    engine.dispose()


def _are_serving(api: Api, database: TestDatabase, *, other_than: psutil.Process) -> bool:
    """Whether all workers have connections to the database, which each opens before it answers."""
    serving = 0
    for worker in api.workers():
        with contextlib.suppress(psutil.Error):
            ports = {link.raddr.port for link in worker.net_connections("tcp") if link.raddr}
            serving += worker.pid != other_than.pid and database.server.port in ports
    return serving == WORKERS


async def _nobody_listens(workers: list[psutil.Process]) -> bool:
    links = [link for worker in workers for link in _links(worker)]
    return not any(link.status == psutil.CONN_LISTEN for link in links)


def _links(worker: psutil.Process) -> list[Any]:
    """A worker's connections. One that is about to end has none, and may no longer be asked."""
    try:
        return worker.net_connections("tcp")
    except psutil.Error:
        return []
