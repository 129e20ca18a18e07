"""Lists: filtered, in a stable order, and complete page by page whatever is written meanwhile."""

import base64
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from runtime.api.cursors import Cursors
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.snapshots import execute
from tests.runtime.api.world import (
    BACKFILL,
    DECISIONS,
    ESTIMATES,
    EXPERIMENTS,
    FEEDBACK,
    LATER,
    METRICS,
    NOON,
    QUERIES,
    RUNS,
    post,
)

PILOT = {"method": "sequential", "pilot_data": {"y": [1, 2]}}
MANY = 7
numbers = itertools.count()


@dataclass(frozen=True)
class List:
    """A list of the API, and how a row comes into it."""

    path: str
    items: str
    table: str
    moment: str
    write: str
    body: Callable[[int], dict[str, Any]]
    query: dict[str, Any] = field(default_factory=dict)

    async def add(self, client: httpx.AsyncClient, many: int = 1) -> None:
        for _ in range(many):
            await post(client, self.write, self.body(next(numbers)))

    async def page(self, client: httpx.AsyncClient, **query: Any) -> Any:
        answer = await client.get(self.path, params={**self.query, **query})
        assert answer.status_code == 200, answer.text
        return answer.json()


LISTS = [
    List(EXPERIMENTS, "experiments", "experiments", "created_at", EXPERIMENTS, lambda n: {"name": f"'{n}%"}),
    List(
        RUNS,
        "runs",
        "optimization_runs",
        "created_at",
        RUNS,
        lambda _: {"method": "grid_search", "objective": "minimize"},
    ),
    List(
        QUERIES, "queries", "ai_queries", "created_at", QUERIES, lambda _: {"query_text": "?", "selected_model": "pro"}
    ),
    List(ESTIMATES, "noise_estimates", "noise_estimates", "created_at", ESTIMATES, lambda _: {"pilot": PILOT}),
    List(DECISIONS, "routing_decisions", "routing_decisions", "created_at", DECISIONS, lambda _: {"pilot": PILOT}),
    List(
        f"{BACKFILL}/status",
        "jobs",
        "backfill_jobs",
        "started_at",
        f"{BACKFILL}/start",
        lambda n: {"job_type": "blocks", "start_block": n, "end_block": n},
    ),
    List(
        METRICS,
        "metrics",
        "system_metrics",
        "timestamp",
        METRICS,
        lambda n: {"service_name": "s", "metric_type": "t", "metric_value": n, "unit": "u"},
    ),
    List(
        f"{FEEDBACK}/user",
        "feedback",
        "insight_feedback",
        "created_at",
        f"{FEEDBACK}/rate",
        lambda n: {"insight_id": f"insight-{n}", "rating": 1 + n % 5},
    ),
]


@pytest.fixture(params=LISTS, ids=[one.items for one in LISTS])
def listed(request: pytest.FixtureRequest) -> List:
    assert isinstance(request.param, List)
    return request.param


async def walk(
    listed: List, client: httpx.AsyncClient, limit: int, between: Callable[[], Awaitable[Any]] | None = None
) -> list[list[str]]:
    """The ids of each page, to the last."""
    pages, cursor = [], None
    while True:
        page = await listed.page(client, limit=limit, **({"cursor": cursor} if cursor else {}))
        ids = [row["id"] for row in page[listed.items]]
        assert page["count"] == len(ids) <= limit
        assert page["status"] == "success"
        pages.append(ids)
        cursor = page["next_cursor"]
        if cursor is None:
            return pages
        assert len(ids) == limit
        if between is not None:
            await between()


async def test_a_list_is_walked_to_its_end_while_rows_come_in_and_times_are_equal(
    listed: List, client: httpx.AsyncClient, database: TestDatabase
) -> None:
    await listed.add(client, MANY)
    execute(database, f"UPDATE {listed.table} SET {listed.moment} = '2026-01-15 12:00:00.000001+00'")
    everything = [row["id"] for row in (await listed.page(client))[listed.items]]
    assert len(set(everything)) == MANY
    for limit in (1, 3):
        pages = await walk(listed, client, limit, between=lambda: listed.add(client))
        seen = [ident for page in pages for ident in page]
        # What came in during an earlier walk is newer than all of these, and so before them.
        assert seen[-MANY:] == everything
        assert len(set(seen)) == len(seen)
    at_once = await listed.page(client, limit=1000)
    assert at_once["next_cursor"] is None
    assert [row["id"] for row in at_once[listed.items]][-MANY:] == everything
    # A page that is full may be the last: then its cursor leads to an empty one.
    total = at_once["count"]
    assert [len(page) for page in await walk(listed, client, total)] == [total, 0]


async def test_the_newest_row_is_the_first(listed: List, client: httpx.AsyncClient) -> None:
    await listed.add(client, 3)
    rows = (await listed.page(client))[listed.items]
    moments = [row[listed.moment] for row in rows]
    assert moments == sorted(moments, reverse=True)
    assert len(moments) == 3


async def test_comments_are_walked_too(client: httpx.AsyncClient, make_client: Any, make_key: Any) -> None:
    for n in range(5):
        other = make_client(make_key("utxoiq:write", subject=f"user-{n}"))
        await post(other, f"{FEEDBACK}/comment", {"insight_id": "i", "comment": f"comment {n}"})
        await post(other, f"{FEEDBACK}/rate", {"insight_id": "j", "rating": 1})
    comments = List(f"{FEEDBACK}/comments", "comments", "", "created_at", "", lambda _: {}, {"insight_id": "i"})
    pages = await walk(comments, client, 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    shown = await comments.page(client)
    assert [row["user_id"] for row in shown["comments"]] == [f"user-{n}" for n in (4, 3, 2, 1, 0)]


async def test_limits_have_the_defaults_of_the_sources_and_bounds(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    execute(
        database,
        "INSERT INTO experiments (id, name) SELECT n, n FROM generate_series(1, 150) AS n",
        "INSERT INTO optimization_runs (id, name, method, objective)"
        " SELECT n, n, 'other', 'minimize' FROM generate_series(1, 150) AS n",
        "INSERT INTO ai_queries (id, query_text, selected_model)"
        " SELECT n, '?', 'pro' FROM generate_series(1, 150) AS n",
        "INSERT INTO insight_feedback (insight_id, user_id, comment)"
        " SELECT 'i', n, 'c' FROM generate_series(1, 150) AS n",
    )
    about = {"insight_id": "i"}
    for path, items, query, default in (
        (EXPERIMENTS, "experiments", {}, 100),
        (RUNS, "runs", {}, 50),
        (QUERIES, "queries", {}, 100),
        (f"{FEEDBACK}/comments", "comments", about, 20),
    ):
        with subtests.test(path):
            page = (await client.get(path, params=query)).json()
            assert page["count"] == len(page[items]) == default
            assert page["next_cursor"]
            most = (await client.get(path, params={**query, "limit": 1000})).json()
            assert (most["count"], most["next_cursor"]) == (150, None)
            for limit in ("0", "-1", "1001", "1e2", "NaN", "9" * 30):
                answer = await client.get(path, params={**query, "limit": limit})
                assert_problem(answer, 422, "invalid-input", "limit")


@dataclass(frozen=True)
class Filtered:
    """Two rows that differ in one field, and the filter that tells them apart."""

    path: str
    items: str
    bodies: tuple[dict[str, Any], dict[str, Any]]
    query: dict[str, Any]
    write: str = ""


def filters() -> Iterator[Filtered]:
    run, metric = {"method": "other", "objective": "minimize"}, {"metric_value": 0.0, "unit": "u", "timestamp": NOON}
    query = {"query_text": "?", "selected_model": "pro"}
    yield Filtered(EXPERIMENTS, "experiments", ({"status": "failed"}, {}), {"status": "failed"})
    yield Filtered(EXPERIMENTS, "experiments", ({"optimization_run_id": "r'1"}, {}), {"optimization_run_id": "r'1"})
    yield Filtered(RUNS, "runs", ({**run, "method": "random_search"}, run), {"method": "random_search"})
    yield Filtered(RUNS, "runs", ({**run, "status": "running"}, run), {"status": "running"})
    yield Filtered(QUERIES, "queries", ({**query, "selected_model": "flash"}, query), {"selected_model": "flash"})
    yield Filtered(QUERIES, "queries", ({**query, "experiment_id": "e%1"}, query), {"experiment_id": "e%1"})
    curve = {"method": "residuals", "pilot_data": {"x": [1, 2, 3], "y": [1, 2, 3], "degree": 1}}
    yield Filtered(ESTIMATES, "noise_estimates", ({"pilot": curve}, {"pilot": PILOT}), {"method": "residuals"})
    owned = {"pilot": PILOT, "optimization_run_id": "r'1"}
    yield Filtered(ESTIMATES, "noise_estimates", (owned, {"pilot": PILOT}), {"optimization_run_id": "r'1"})
    noisy = {"method": "sequential", "pilot_data": {"y": [9 * (n % 2) for n in range(20)]}}
    loud = {"selected_method": "reinforcement_learning"}
    yield Filtered(DECISIONS, "routing_decisions", ({"pilot": noisy}, {"pilot": PILOT}), loud)
    yield Filtered(DECISIONS, "routing_decisions", (owned, {"pilot": PILOT}), {"optimization_run_id": "r'1"})
    by = {"noise_estimate_id": "n 1"}
    yield Filtered(DECISIONS, "routing_decisions", (by, {"pilot": PILOT}), by)
    job = {"start_block": 0, "end_block": 0}
    start = f"{BACKFILL}/start"
    types = ({**job, "job_type": "blocks"}, {**job, "job_type": "transactions"})
    yield Filtered(f"{BACKFILL}/status", "jobs", types, {"job_type": "blocks"}, start)
    for name in ("service_name", "metric_type"):
        both = {**metric, "service_name": "s", "metric_type": "t"}
        yield Filtered(METRICS, "metrics", ({**both, name: "ü%"}, both), {name: "ü%"})
    both = {**metric, "service_name": "s", "metric_type": "t"}
    yield Filtered(METRICS, "metrics", ({**both, "timestamp": LATER}, both), {"start": LATER})
    yield Filtered(METRICS, "metrics", (both, {**both, "timestamp": LATER}), {"end": LATER})


async def test_every_filter_lets_through_what_fits_and_nothing_else(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    for case in filters():
        with subtests.test(path=case.path, query=case.query):
            execute(
                database,
                "TRUNCATE experiments, optimization_runs, ai_queries, noise_estimates, routing_decisions,"
                " backfill_jobs, system_metrics",
            )
            await post(client, RUNS, {"id": "r'1", "method": "grid_search", "objective": "maximize"})
            await post(client, EXPERIMENTS, {"id": "e%1", "status": "cancelled"})
            await post(
                client,
                ESTIMATES,
                {"id": "n 1", "pilot": {"method": "replicate_pooled", "pilot_data": {"replicates": [[1, 2]]}}},
            )
            written = [await post(client, case.write or case.path, body) for body in case.bodies]
            found = (await client.get(case.path, params=case.query)).json()
            assert [row["id"] for row in found[case.items]] == [written[0]["id"]]
            unfiltered = (await client.get(case.path)).json()
            assert {row["id"] for row in written} <= {row["id"] for row in unfiltered[case.items]}


async def test_rows_are_filtered_by_who_made_them(client: httpx.AsyncClient, make_client: Any, make_key: Any) -> None:
    other = make_client(make_key(subject="some%one"))
    bodies: dict[str, dict[str, Any]] = {
        EXPERIMENTS: {},
        RUNS: {"method": "other", "objective": "minimize"},
        QUERIES: {"query_text": "?", "selected_model": "pro"},
    }
    for path, body in bodies.items():
        await post(client, path, body)
        theirs = await post(other, path, body)
        found = (await client.get(path, params={"created_by": "some%one"})).json()
        rows = next(value for value in found.values() if isinstance(value, list))
        assert [row["id"] for row in rows] == [theirs["id"]]


async def test_jobs_are_filtered_by_status_and_start(client: httpx.AsyncClient, database: TestDatabase) -> None:
    for job_type in ("old", "new", "paused"):
        job = await post(client, f"{BACKFILL}/start", {"job_type": job_type, "start_block": 0, "end_block": 0})
    await post(client, f"{BACKFILL}/{job['id']}/pause", {})
    execute(database, "UPDATE backfill_jobs SET started_at = '2020-01-01' WHERE job_type = 'old'")

    async def types(**query: str) -> list[str]:
        return [row["job_type"] for row in (await client.get(f"{BACKFILL}/status", params=query)).json()["jobs"]]

    assert await types(status="paused") == ["paused"]
    assert await types(since=NOON) == ["paused", "new"]
    assert await types(since="2020-01-01T02:00:00+02:00", status="running") == ["new", "old"]


async def test_a_cursor_is_good_for_its_own_list_and_filters_only(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for body in ({"status": "failed"}, {"status": "failed"}, {}):
        await post(client, EXPERIMENTS, body)
        await post(client, RUNS, {"method": "other", "objective": "minimize"})
    first = (await client.get(EXPERIMENTS, params={"limit": 1, "status": "failed"})).json()
    cursor = first["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor)
    flipped = base64.urlsafe_b64encode(raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:]).decode()
    unsigned = base64.urlsafe_b64encode(bytes(16) + raw[16:]).decode()
    good = await client.get(EXPERIMENTS, params={"limit": 2, "status": "failed", "cursor": cursor})
    assert (good.json()["count"], good.json()["next_cursor"]) == (1, None)
    assert good.json()["experiments"][0]["id"] != first["experiments"][0]["id"]
    for name, path, query in (
        ("another list", RUNS, {"cursor": cursor}),
        ("another list, same filters", RUNS, {"cursor": cursor, "status": "failed"}),
        ("no filter", EXPERIMENTS, {"cursor": cursor}),
        ("another filter", EXPERIMENTS, {"cursor": cursor, "status": "pending"}),
        ("one filter more", EXPERIMENTS, {"cursor": cursor, "status": "failed", "created_by": "x"}),
        *(
            (f"garbage {garbage[:9]!r}", EXPERIMENTS, {"cursor": garbage, "status": "failed"})
            for garbage in (
                flipped,
                unsigned,
                cursor[:-4],
                cursor + "AAAA",
                cursor.lower(),
                "x",
                "AAAA",
                "%00",
                "\x00",
                "ü",
                "🜚",
                "' OR 1=1",
                "null",
                "=" * 8,
                "A" * 2000,
                base64.urlsafe_b64encode(b'[["t","2026"]]').decode(),
            )
        ),
    ):
        with subtests.test(name):
            assert_problem(await client.get(path, params=query), 422, "invalid-cursor", "cursor")
    too_long = await client.get(EXPERIMENTS, params={"cursor": "A" * 2001})
    assert_problem(too_long, 422, "invalid-input", "cursor")


async def test_a_cursor_of_another_secret_is_refused(client: httpx.AsyncClient) -> None:
    await post(client, EXPERIMENTS, {})
    cursor = (await client.get(EXPERIMENTS, params={"limit": 1})).json()["next_cursor"]
    other = Cursors("another secret, as long as it must be")
    own = other.write("experiments:[]", ("2026", "e"))
    assert_problem(await client.get(EXPERIMENTS, params={"cursor": own.decode()}), 422, "invalid-cursor", "cursor")
    assert (await client.get(EXPERIMENTS, params={"cursor": cursor})).json()["count"] == 0
