"""The metrics' months: made ahead, never in a writer's way, and no row is ever lost."""

import datetime as dt
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2.errors
import pytest
import tenacity
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from runtime.jobs import partitions
from runtime.jobs.partitions import NewPartition, ensure_partitions
from tests.conftest import TestDatabase
from tests.waiting import wait_until

PARTITIONS = text(
    "SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, oid) FROM pg_inherits JOIN pg_class ON oid = inhrelid "
    "WHERE inhparent = 'system_metrics'::regclass ORDER BY 1"
)
WHERE_IT_IS = text("SELECT tableoid::regclass::text FROM system_metrics WHERE service_name = :name")
ADD = text(
    "INSERT INTO system_metrics (service_name, metric_type, metric_value, unit, timestamp, metric_metadata) "
    "VALUES (:name, 'cpu', 0.0, '%', :at, '{\"ü\": 0.10}') RETURNING id"
)


@pytest.fixture
def engines(database: TestDatabase) -> Iterator[Callable[[str | None], Engine]]:
    made: dict[str | None, Engine] = {}

    def engine(login: str | None = None) -> Engine:
        if login not in made:
            made[login] = database.engine(login)
        return made[login]

    yield engine
    for each in made.values():
        each.dispose()


@pytest.fixture
def jobs(engines: Callable[[str | None], Engine]) -> Engine:
    """A login that owns nothing and may create nothing."""
    return engines("jobs_login")


@pytest.fixture
def superuser(engines: Callable[[str | None], Engine]) -> Engine:
    return engines(None)


@pytest.fixture
def app(engines: Callable[[str | None], Engine]) -> Engine:
    return engines("api_login")


def months(first: dt.datetime, count: int) -> list[dt.datetime]:
    return [
        dt.datetime(first.year + (first.month - 1 + ahead) // 12, (first.month - 1 + ahead) % 12 + 1, 1, tzinfo=dt.UTC)
        for ahead in range(count)
    ]


def this_month() -> dt.datetime:
    return months(dt.datetime.now(dt.UTC), 1)[0]


def name_of(month: dt.datetime) -> str:
    return f"system_metrics_{month:%Y_%m}"


def bounds(connection: Connection) -> dict[str, str]:
    return {name: bound for name, bound in connection.execute(PARTITIONS)}  # noqa: C416  # rows are not pairs to mypy


def drop_monthly(superuser: Engine) -> None:
    with superuser.begin() as connection:
        for name in bounds(connection):
            if not name.endswith("default"):
                connection.execute(text(f"DROP TABLE {name}"))


def add(engine: Engine, name: str, at: dt.datetime) -> str:
    with engine.begin() as connection:
        return str(connection.scalar(ADD, {"name": name, "at": at}))


def place(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        return str(connection.execute(WHERE_IT_IS, {"name": name}).scalar_one())


def row(engine: Engine, ident: str) -> Any:
    with engine.connect() as connection:
        return connection.execute(text("SELECT * FROM system_metrics WHERE id = :id"), {"id": ident}).one()


def test_this_month_and_three_ahead_are_made_by_a_login_that_may_create_nothing(
    jobs: Engine, superuser: Engine
) -> None:
    drop_monthly(superuser)
    expected = months(this_month(), 5)
    assert ensure_partitions(jobs) == [NewPartition(name_of(month), 0) for month in expected[:4]]
    with superuser.connect() as connection:
        found = bounds(connection)
    assert found.pop("system_metrics_default") == "DEFAULT"
    assert found == {
        name_of(month): f"FOR VALUES FROM ('{month:%Y-%m-%d} 00:00:00+00') TO ('{after:%Y-%m-%d} 00:00:00+00')"
        for month, after in itertools.pairwise(expected)
    }


def test_partitions_belong_to_the_owner_and_have_the_parents_indexes_and_checks(superuser: Engine) -> None:
    with superuser.connect() as connection:
        names = [*bounds(connection)]
        owners = set(
            connection.scalars(
                text("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = ANY (:names)"), {"names": names}
            )
        )
        indexes = connection.execute(
            text(
                "SELECT indrelid::regclass::text, count(*) FROM pg_index "
                "WHERE indrelid::regclass::text = ANY (:names) GROUP BY 1"
            ),
            {"names": names},
        ).all()
    assert owners == {"holdfast_owner"}
    assert {name: count for name, count in indexes} == dict.fromkeys(names, 4)  # noqa: C416  # rows are not pairs to mypy


def test_a_second_run_makes_nothing(jobs: Engine, superuser: Engine) -> None:
    with superuser.connect() as connection:
        before = bounds(connection)
    assert ensure_partitions(jobs) == []
    with superuser.connect() as connection:
        assert bounds(connection) == before
        assert connection.scalar(text("SELECT count(*) FROM audit_log WHERE action = 'partition.create'")) == 4


def test_a_longer_horizon_adds_the_months_that_are_not_there(jobs: Engine) -> None:
    ahead = months(this_month(), 7)
    assert [made.name for made in ensure_partitions(jobs, months_ahead=6)] == [name_of(month) for month in ahead[4:]]


def test_each_new_partition_leaves_an_audit_entry(jobs: Engine, superuser: Engine) -> None:
    ensure_partitions(jobs, months_ahead=4)
    with superuser.connect() as connection:
        name, detail = connection.execute(
            text("SELECT object_id, detail FROM audit_log WHERE action = 'partition.create' ORDER BY id DESC LIMIT 1")
        ).one()
    assert (name, detail) == (name_of(months(this_month(), 5)[4]), {"rows_moved": 0})


@pytest.mark.parametrize("months_ahead", [-1, 25])
def test_an_absurd_horizon_is_refused(months_ahead: int, jobs: Engine) -> None:
    with pytest.raises(DBAPIError, match="may be 0 to 24"):
        ensure_partitions(jobs, months_ahead=months_ahead)


def test_a_metric_lies_in_its_months_partition_to_the_microsecond(app: Engine) -> None:
    first, second = months(this_month(), 2)
    instant = dt.timedelta(microseconds=1)
    for name, at, partition in [
        ("first instant", first, first),
        ("last instant", second - instant, first),
        ("next month", second, second),
        ("next month elsewhere", (second - instant).astimezone(dt.timezone(dt.timedelta(hours=14))), first),
    ]:
        add(app, name, at)
        assert place(app, name) == name_of(partition), name


def test_a_metric_without_partition_waits_in_the_default_one_and_moves_unchanged(
    app: Engine, jobs: Engine, superuser: Engine
) -> None:
    # A collector that was down for long sends what it kept; another has its clock wrong.
    old = dt.datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    late = months(this_month(), 6)[5]
    ident, ahead = add(app, "old", old), add(app, "ahead", late)
    before = row(app, ident), row(app, ahead)
    assert (place(app, "old"), place(app, "ahead")) == ("system_metrics_default", "system_metrics_default")

    assert ensure_partitions(jobs, months_ahead=5) == [
        NewPartition(name_of(months(this_month(), 5)[4]), 0),
        NewPartition(name_of(late), 1),
        NewPartition("system_metrics_2024_02", 1),
    ]
    assert (place(app, "old"), place(app, "ahead")) == ("system_metrics_2024_02", name_of(late))
    assert (row(app, ident), row(app, ahead)) == before
    with superuser.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM system_metrics_default")) == 0


def test_a_metric_of_the_far_future_stays_and_can_be_asked_for(app: Engine, jobs: Engine) -> None:
    ident = add(app, "clock is wrong", dt.datetime(9998, 12, 31, tzinfo=dt.UTC))
    before = row(app, ident)
    assert ensure_partitions(jobs) == []
    assert row(app, ident) == before
    assert place(app, "clock is wrong") == "system_metrics_default"


def test_more_waiting_months_than_one_run_takes_are_done_by_the_next(app: Engine, jobs: Engine) -> None:
    with app.begin() as connection:
        for month in months(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), 38):
            connection.execute(ADD, {"name": "x", "at": month})
    assert [sum(made.rows_moved for made in ensure_partitions(jobs)) for _ in range(3)] == [36, 2, 0]


def waiting_sessions(superuser: Engine) -> int:
    with superuser.connect() as connection:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'jobs_login' AND wait_event_type = 'Lock'"
        return int(connection.scalar(text(statement)) or 0)


def test_runs_at_once_make_each_partition_once(database: TestDatabase, superuser: Engine, app: Engine) -> None:
    drop_monthly(superuser)
    add(app, "waiting", this_month())
    engines = [database.engine("jobs_login") for _ in range(3)]

    def run(engine: Engine) -> tuple[list[NewPartition], int]:
        return ensure_partitions(engine), ensure_partitions.statistics["attempt_number"]  # type: ignore[attr-defined]  # tenacity's

    with ThreadPoolExecutor(3) as threads:
        # A writer's transaction stops all of them half-way, so that they really are at it together.
        with app.begin() as writer:
            writer.execute(ADD, {"name": "meanwhile", "at": this_month()})
            running = [threads.submit(run, engine) for engine in engines]
            wait_until(lambda: waiting_sessions(superuser) == 3)
        runs = [each.result() for each in running]
    for engine in engines:
        engine.dispose()
    # None of them met another in a deadlock.
    assert [attempts for _, attempts in runs] == [1, 1, 1]
    made = [partition for found, _ in runs for partition in found]
    assert sorted(made, key=lambda each: each.name) == [
        NewPartition(name_of(month), 2 if month == this_month() else 0) for month in months(this_month(), 4)
    ]
    assert place(app, "waiting") == name_of(this_month())


def test_writers_during_a_run_lose_nothing_and_are_not_refused(
    database: TestDatabase, jobs: Engine, superuser: Engine
) -> None:
    wanted = months(this_month(), 4)
    ended = threading.Event()
    written: list[int] = []

    def write(number: int) -> int:
        # One statement a transaction, as the API writes, over all months that come and go.
        engine = database.engine("api_login")
        count = 0
        try:
            while not ended.is_set():
                for month in wanted:
                    add(engine, f"writer-{number}", month)
                    count += 1
                written.append(number)
        finally:
            engine.dispose()
        return count

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        try:
            for _ in range(4):
                seen = len(written)
                wait_until(lambda seen=seen: len(written) > seen + 8 or any(w.done() for w in writers))
                with superuser.begin() as connection:
                    # As if the months had never been made: the rows wait in the default partition.
                    connection.execute(text("LOCK TABLE system_metrics IN ACCESS EXCLUSIVE MODE"))
                    for month in wanted:
                        name = name_of(month)
                        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}):
                            connection.execute(text(f"ALTER TABLE system_metrics DETACH PARTITION {name}"))
                            connection.execute(text(f"INSERT INTO system_metrics_default SELECT * FROM {name}"))
                            connection.execute(text(f"DROP TABLE {name}"))
                seen = len(written)
                wait_until(lambda seen=seen: len(written) > seen + 8 or any(w.done() for w in writers))
                assert len(ensure_partitions(jobs)) == len(wanted)
        finally:
            ended.set()
        counts = [writer.result() for writer in writers]
    with superuser.connect() as connection:
        stored = connection.execute(
            text("SELECT service_name, count(*) FROM system_metrics GROUP BY 1 ORDER BY 1")
        ).all()
        waiting = connection.scalar(text("SELECT count(*) FROM system_metrics_default"))
    assert [tuple(each) for each in stored] == [(f"writer-{number}", count) for number, count in enumerate(counts)]
    assert waiting == 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr(ensure_partitions.retry, "wait", tenacity.wait_none())  # type: ignore[attr-defined]  # tenacity's


@pytest.mark.usefixtures("impatient")
def test_a_run_that_always_meets_a_lock_gives_up_and_has_changed_nothing(
    jobs: Engine, app: Engine, superuser: Engine, engines: Callable[[str | None], Engine]
) -> None:
    drop_monthly(superuser)
    add(app, "waiting", this_month())
    with engines("reader_login").connect() as reader:
        # A long report: its snapshot holds every partition.
        assert reader.scalar(text("SELECT count(*) FROM system_metrics")) == 1
        with pytest.raises(OperationalError, match="lock timeout") as caught:
            ensure_partitions(jobs)
        assert isinstance(caught.value.orig, psycopg2.errors.LockNotAvailable)
        assert ensure_partitions.statistics["attempt_number"] == 5  # type: ignore[attr-defined]  # tenacity's
        # Writers go on at once.
        add(app, "meanwhile", this_month())
        with superuser.connect() as connection:
            assert list(bounds(connection)) == ["system_metrics_default"]
            assert connection.scalar(text("SELECT to_regclass(:name)"), {"name": name_of(this_month())}) is None
        assert place(app, "waiting") == "system_metrics_default"


@pytest.mark.usefixtures("impatient")
def test_a_run_that_meets_a_lock_for_a_while_succeeds(
    jobs: Engine, app: Engine, superuser: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_monthly(superuser)
    reader = app.connect()
    reader.scalar(text("SELECT count(*) FROM system_metrics"))
    tries = []

    def end_report_at_the_second_try(state: tenacity.RetryCallState) -> None:
        tries.append(state.attempt_number)
        if state.attempt_number == 2:
            reader.close()

    monkeypatch.setattr(ensure_partitions.retry, "before", end_report_at_the_second_try)  # type: ignore[attr-defined]  # tenacity's
    assert len(ensure_partitions(jobs)) == 4
    assert tries == [1, 2]


def test_a_months_range_is_read_from_its_partition_alone(app: Engine) -> None:
    first, second = months(this_month(), 2)
    with app.connect() as connection:
        plan = "\n".join(
            connection.scalars(
                text(
                    "EXPLAIN SELECT * FROM system_metrics WHERE service_name = 's' "
                    f"AND timestamp >= '{first.isoformat()}' AND timestamp < '{second.isoformat()}'"
                )
            )
        )
    assert set(re.findall(r"on (system_metrics\w*)", plan)) == {name_of(first)}
