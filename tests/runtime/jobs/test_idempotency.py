"""Forgetting idempotency keys: what has expired goes, in batches; nothing else does, whoever is at it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import Engine, text

from runtime.jobs.idempotency import count_expired, forget_expired
from tests.caches import until
from tests.conftest import TestDatabase
from tests.running import call, environment_of
from tests.runtime.api.snapshots import execute, is_waiting, snapshot
from tests.runtime.api.world import METRIC, METRICS

ADD = (
    "INSERT INTO idempotency_keys (principal_id, key, fingerprint, status, answer, created_at) "
    "SELECT uuid7(), '{kind} ' || n, decode(repeat('00', 32), 'hex'), 201, '', now() - interval '{age}' "
    "FROM generate_series(1, {number}) n"
)
# To the minute on either side.
EXPIRED, GOOD = "24 hours 1 minute", "23 hours 59 minutes"


@pytest.fixture
def jobs(database: TestDatabase) -> Iterator[Engine]:
    engine = database.engine("jobs_login")
    yield engine
    engine.dispose()


def fill(database: TestDatabase, *, expired: int, good: int) -> None:
    execute(
        database,
        ADD.format(kind="expired", age=EXPIRED, number=expired),
        ADD.format(kind="good", age=GOOD, number=good),
    )


def kept(database: TestDatabase) -> list[str]:
    engine = database.engine()
    with engine.connect() as connection:
        found = connection.scalars(text("SELECT split_part(key, ' ', 1) FROM idempotency_keys")).all()
    engine.dispose()
    return list(found)


def entries(database: TestDatabase) -> list[int]:
    engine = database.engine()
    with engine.connect() as connection:
        found = connection.scalars(
            text("SELECT (detail->>'rows')::int FROM audit_log WHERE action = 'idempotency_keys.delete' ORDER BY id")
        ).all()
    engine.dispose()
    return list(found)


def test_what_has_expired_is_deleted_in_batches_with_an_entry_each(database: TestDatabase, jobs: Engine) -> None:
    fill(database, expired=25, good=3)
    assert forget_expired(jobs, batch=10) == 25
    assert kept(database) == ["good"] * 3
    assert entries(database) == [10, 10, 5]


def test_a_second_run_does_nothing_and_leaves_no_entry(database: TestDatabase, jobs: Engine) -> None:
    fill(database, expired=2, good=3)
    forget_expired(jobs)
    before = snapshot(database)
    assert (count_expired(jobs), forget_expired(jobs)) == (0, 0)
    assert snapshot(database) == before


def test_the_command_deletes_only_when_it_is_told_to(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(database, expired=2, good=1)
    before = snapshot(database)
    environment = environment_of(database)
    done = call(monkeypatch, capsys, "forget-idempotency-keys", environment=environment)
    assert (done.returncode, done.stdout) == (
        0,
        "2 expired idempotency keys; nothing deleted: --apply deletes them\n",
    )
    assert snapshot(database) == before
    done = call(monkeypatch, capsys, "forget-idempotency-keys", "--apply", environment=environment)
    assert (done.returncode, done.stdout) == (0, "2 expired idempotency keys deleted\n")
    assert kept(database) == ["good"]
    assert entries(database) == [2]


async def test_a_key_that_a_call_takes_over_meanwhile_stays(
    database: TestDatabase, jobs: Engine, client: httpx.AsyncClient
) -> None:
    call = {"json": METRIC, "headers": {"Idempotency-Key": "k"}}
    assert (await client.post(METRICS, **call)).status_code == 201
    execute(database, f"UPDATE idempotency_keys SET created_at = now() - interval '{EXPIRED}'")
    superuser = database.engine()
    with superuser.connect() as taking, ThreadPoolExecutor(1) as threads:
        # As a call does at its end.
        taking.execute(text("UPDATE idempotency_keys SET created_at = now()"))
        sweeping = threads.submit(forget_expired, jobs)
        await until(lambda: is_waiting(database, "jobs_login"))
        taking.commit()
        assert await asyncio.wrap_future(sweeping) == 0
    superuser.dispose()
    assert (await client.post(METRICS, **call)).headers["idempotency-replayed"] == "true"
