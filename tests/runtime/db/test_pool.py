"""The API's pool: sizes, sessions, what is tried again and what is never done twice."""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import BigInteger, bindparam, func, insert, select, text

from runtime.db.pool import Database, Transaction
from runtime.db.query import Query
from runtime.db.retry import ATTEMPTS, LOST
from runtime.systems.ard.models import OptimizationRun
from tests.conftest import TestDatabase, autocommit

PID = Query(select(func.pg_backend_pid()))
ONE = Query(select(text("1")))
SLEEP = Query(select(func.pg_sleep(30)))
RUNS = Query(select(func.count()).select_from(OptimizationRun))
ADD_RUN = Query(insert(OptimizationRun).values(id=bindparam("id"), name="n", method="other", objective="minimize"))
LOCK_RUN = Query(
    text("UPDATE optimization_runs SET num_experiments = num_experiments + 1 WHERE id = :id").bindparams(
        bindparam("id", type_=OptimizationRun.id.type)
    )
)
EXPERIMENTS_OF = Query(
    select(OptimizationRun.num_experiments).where(OptimizationRun.id == bindparam("id", type_=OptimizationRun.id.type))
)
TERMINATE = text("SELECT pg_terminate_backend(:pid, 5000)")

MakePool = Callable[..., Database]


@pytest.fixture
async def make_pool(database: TestDatabase) -> Any:
    made: list[Database] = []

    def make(*, workers: int = 1, name: str = "holdfast-api", **settings: object) -> Database:
        pool = Database(database.settings(**{"db_pool_min": 1, **settings}), application_name=name, workers=workers)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        await pool.close()


def ask_superuser(database: TestDatabase, statement: str, **parameters: object) -> Any:
    with autocommit(database.url()) as connection:
        return connection.scalar(text(statement), parameters)


def end_session(database: TestDatabase, pid: int) -> None:
    """As a failover or an administrator does; returns when the session has ended."""
    with autocommit(database.url()) as connection:
        assert connection.scalar(TERMINATE, {"pid": pid})


async def eventually(condition: Callable[[], Awaitable[Any] | Any], seconds: float = 20) -> Any:
    """Like `wait_until`, while this loop goes on."""
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.01)


# --- Sizes and sessions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minimum", "maximum", "workers", "expected"),
    [
        (10, 30, 1, (10, 30)),
        (10, 30, 4, (3, 7)),
        (10, 10, 4, (2, 2)),
        (1, 3, 3, (1, 1)),
        (30, 30, 30, (1, 1)),
        (10, 30, 8, (2, 3)),
    ],
)
async def test_workers_share_the_instances_connections_and_never_have_more(
    minimum: int, maximum: int, workers: int, expected: tuple[int, int], make_pool: MakePool
) -> None:
    pool = make_pool(db_pool_min=minimum, db_pool_max=maximum, workers=workers)
    assert (pool.min_size, pool.max_size) == expected
    assert pool.max_size * workers <= maximum


async def test_the_pool_opens_its_minimum_and_grows_to_its_maximum(make_pool: MakePool, database: TestDatabase) -> None:
    pool = make_pool(db_pool_min=2, db_pool_max=4, db_pool_timeout=0.2)
    count = functools.partial(
        ask_superuser, database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast-api'"
    )
    await pool.value(ONE)
    assert count() == 2
    sleepers = [asyncio.create_task(pool.value(SLEEP)) for _ in range(4)]
    await eventually(lambda: count() == 4)
    async with asyncio.timeout(2):
        with pytest.raises(TimeoutError):
            await pool.value(ONE)
    assert count() == 4
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)
    assert await pool.value(ONE) == 1


async def test_a_session_that_hangs_ends_with_its_callers_deadline(make_pool: MakePool) -> None:
    pool = make_pool()
    session = await pool.value(PID)
    os.kill(session, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises((TimeoutError, *LOST)):
            async with asyncio.timeout(0.5):
                await pool.value(ONE)
        assert time.monotonic() - began < 2.5
        # The others are not held up.
        assert await pool.value(ONE) == 1
    finally:
        os.kill(session, signal.SIGCONT)


async def test_a_connection_that_is_lost_at_its_callers_deadline_is_not_tried_again(make_pool: MakePool) -> None:
    tries = 0

    async def work(_tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                # As the driver does when it gives a session up that hangs.
                raise ConnectionResetError from None

    with pytest.raises((TimeoutError, ConnectionResetError)):
        async with asyncio.timeout(0.1):
            await make_pool().write(work, idempotent=True)
    assert tries == 1


async def test_a_session_has_its_name_utc_and_a_deadline(make_pool: MakePool) -> None:
    pool = make_pool(request_timeout=7.5)
    for setting, value in {
        "application_name": "holdfast-api",
        "timezone": "UTC",
        "statement_timeout": "7500ms",
        "idle_in_transaction_session_timeout": "7500ms",
    }.items():
        assert await pool.value(Query(select(func.current_setting(setting)))) == value


async def test_the_server_itself_ends_a_statement_that_takes_too_long(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool(request_timeout=0.2)
    with pytest.raises((asyncpg.QueryCanceledError, TimeoutError)):
        await pool.value(SLEEP)
    await eventually(
        lambda: (
            not ask_superuser(
                database,
                "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND state = 'active' "
                "AND pid <> pg_backend_pid()",
            )
        )
    )


async def test_an_old_connection_is_replaced(make_pool: MakePool) -> None:
    steady, recycling = make_pool(db_pool_max=1), make_pool(db_pool_max=1, db_pool_recycle=0.000_001)
    assert await steady.value(PID) == await steady.value(PID)
    assert len({await recycling.value(PID) for _ in range(3)}) == 3
    # In a write it is replaced after the commit.
    await recycling.write(lambda tx: tx.value(ADD_RUN, id="r"))
    assert await recycling.value(RUNS) == 1


async def test_closing_gives_every_connection_back(make_pool: MakePool, database: TestDatabase) -> None:
    pool = make_pool(db_pool_min=3)
    await pool.value(ONE)
    await pool.close()
    await eventually(
        lambda: (
            not ask_superuser(database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast-api'")
        )
    )


# --- Transactions ---------------------------------------------------------------------------------------------------


class Failed(Exception):  # noqa: N818  # what some work raises
    pass


async def test_work_that_fails_leaves_nothing(make_pool: MakePool) -> None:
    pool = make_pool()
    calls = 0

    async def work(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.value(ADD_RUN, id="a")
        await tx.value(ADD_RUN, id="b")
        raise Failed

    with pytest.raises(Failed):
        await pool.write(work, idempotent=True)
    assert (calls, await pool.value(RUNS)) == (1, 0)


async def test_nobody_sees_work_before_its_commit(make_pool: MakePool) -> None:
    pool = make_pool()

    async def work(tx: Transaction) -> Any:
        await tx.value(ADD_RUN, id="a")
        return await pool.value(RUNS), await tx.value(RUNS)

    assert await pool.write(work) == (0, 1)
    assert await pool.value(RUNS) == 1


async def test_cancelled_work_leaves_nothing_and_a_clean_connection(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool(db_pool_max=1)
    started = asyncio.Event()

    async def work(tx: Transaction) -> None:
        await tx.value(ADD_RUN, id="a")
        started.set()
        await tx.value(SLEEP)

    task = asyncio.create_task(pool.write(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.value(RUNS) == 0
    assert not ask_superuser(
        database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'",
    )


# --- What is tried again --------------------------------------------------------------------------------------------


async def test_a_serialization_failure_is_tried_again(make_pool: MakePool, database: TestDatabase) -> None:
    ask_superuser(
        database, f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'serializable'; SELECT 1"
    )
    pool = make_pool()
    await pool.write(lambda tx: tx.value(ADD_RUN, id="r"))
    both_have_read = asyncio.Barrier(2)
    calls = 0

    async def count_one(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.value(EXPERIMENTS_OF, id="r")
        if calls <= 2:
            await both_have_read.wait()
        await tx.value(LOCK_RUN, id="r")

    await asyncio.gather(pool.write(count_one), pool.write(count_one))
    assert calls == 3
    assert await pool.value(EXPERIMENTS_OF, id="r") == 2


async def test_a_deadlock_is_tried_again(make_pool: MakePool, database: TestDatabase) -> None:
    ask_superuser(database, f"ALTER DATABASE {database.name} SET deadlock_timeout = '20ms'; SELECT 1")
    pool = make_pool()
    for run in ("a", "b"):
        await pool.write(functools.partial(Transaction.value, query=ADD_RUN, id=run))
    both_hold_one = asyncio.Barrier(2)
    calls = 0

    async def update_both(tx: Transaction, first: str, second: str) -> None:
        nonlocal calls
        calls += 1
        await tx.value(LOCK_RUN, id=first)
        if calls <= 2:
            await both_hold_one.wait()
        await tx.value(LOCK_RUN, id=second)

    await asyncio.gather(
        pool.write(functools.partial(update_both, first="a", second="b")),
        pool.write(functools.partial(update_both, first="b", second="a")),
    )
    assert calls == 3
    assert [await pool.value(EXPERIMENTS_OF, id=run) for run in ("a", "b")] == [2, 2]


async def test_tries_are_bounded(make_pool: MakePool) -> None:
    pool = make_pool()
    calls = 0

    async def work(_tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        raise asyncpg.SerializationError

    with pytest.raises(asyncpg.SerializationError):
        await pool.write(work)
    assert calls == ATTEMPTS


async def test_reads_do_not_notice_that_idle_connections_were_ended(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool(db_pool_min=4)
    before = {await pool.value(PID)}
    ask_superuser(
        database,
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'holdfast-api'",
    )
    answers = await asyncio.gather(*[pool.value(PID) for _ in range(8)])
    assert not before & set(answers)
    assert (await pool.row(ONE))[0] == 1


async def test_a_read_whose_connection_is_ended_under_it_is_asked_again(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool(db_pool_min=1, db_pool_max=1)
    first = await pool.value(PID)
    # Long in the first session only, so that the answer comes from the second try.
    slow_once = Query(
        select(
            text("CASE WHEN pg_backend_pid() = :first THEN pg_sleep(30)::text ELSE 'again' END").bindparams(
                bindparam("first", type_=BigInteger())
            )
        )
    )
    reading = asyncio.create_task(pool.value(slow_once, first=first))
    await eventually(
        lambda: ask_superuser(
            database, "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND state = 'active'", pid=first
        )
    )
    end_session(database, first)
    assert await reading == "again"


async def write_through_an_ended_session(pool: Database, database: TestDatabase, *, idempotent: bool) -> list[int]:
    """Write in a session that is ended after the row went in, the first time; returns the sessions that tried."""
    tried: list[int] = []

    async def work(tx: Transaction) -> None:
        tried.append(await tx.value(PID))
        await tx.value(ADD_RUN, id=f"run-{len(tried)}")
        if len(tried) == 1:
            end_session(database, tried[0])
        await tx.value(ONE)

    try:
        await pool.write(work, idempotent=idempotent)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError):
        assert not idempotent
    return tried


async def test_an_idempotent_write_is_repeated_after_a_lost_connection(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool()
    tried = await write_through_an_ended_session(pool, database, idempotent=True)
    assert len(set(tried)) == 2
    assert await pool.value(RUNS) == 1


async def test_a_write_that_is_not_idempotent_is_never_repeated_after_a_lost_connection(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool()
    tried = await write_through_an_ended_session(pool, database, idempotent=False)
    assert len(tried) == 1
    assert await pool.value(RUNS) == 0


async def test_a_connection_that_is_lost_at_the_commit_does_not_repeat_the_write(
    make_pool: MakePool, database: TestDatabase
) -> None:
    pool = make_pool()
    calls = 0

    async def work(tx: Transaction) -> None:
        nonlocal calls
        calls += 1
        await tx.value(ADD_RUN, id=f"run-{calls}")
        end_session(database, await tx.value(PID))

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await pool.write(work)
    assert calls == 1


async def test_json_passes_through_as_the_bytes_that_postgresql_has(make_pool: MakePool) -> None:
    pool = make_pool()
    for kind in ("json", "jsonb"):
        assert await pool.value(Query(select(text(f"'[1, \"ü\", 0.10]'::{kind}")))) == '[1, "ü", 0.10]'.encode()
