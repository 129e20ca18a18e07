"""Input that no honest client sends: each a 4xx problem that names the field, and nothing is written."""

import json
from typing import Any

import httpx
import pytest

from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_problem, document_of
from tests.runtime.api.snapshots import snapshot
from tests.runtime.api.world import (
    BACKFILL,
    DECISIONS,
    ESTIMATES,
    EXPERIMENTS,
    FEEDBACK,
    METRIC,
    METRICS,
    QUERIES,
    RUNS,
    WINDOW,
    post,
    quoted,
)

HUGE = 10**30
RUN = {"method": "other", "objective": "minimize"}
QUERY = {"query_text": "?", "selected_model": "pro"}
START, CLAIM = {"job_type": "blocks", "start_block": 0, "end_block": 9}, {"worker": "w"}
RATE, COMMENT = {"insight_id": "i", "rating": 3}, {"insight_id": "i", "comment": "c"}
FLAG = {"insight_id": "i", "flag_type": "spam"}
JOB = "019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11"
PROGRESS = {"job_id": JOB, "current_block": 0, "fencing_token": 1}
TYPED = {"metric_type": "t", **WINDOW}
SURROGATE = "\ud800"


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


def pilot(method: str, **data: Any) -> dict[str, Any]:
    return {"pilot": {"method": method, "pilot_data": data}}


# Path, a right body, one field of it with a value that is wrong.
BODIES: list[tuple[str, dict[str, Any], str, Any]] = [
    *((path, body, "id", value) for path, body in (
        (EXPERIMENTS, {}), (RUNS, RUN), (QUERIES, QUERY), (ESTIMATES, pilot("sequential", y=[1, 2])),
    ) for value in ("", "x" * 256, "a\x00b", SURROGATE, " padded ", "tab\t", "a/b", ".", "..", 5, ["x"], {})),
    *((EXPERIMENTS, {}, field, value) for field, value in (
        ("name", "x" * 256), ("name", ""), ("name", "\x00"), ("name", SURROGATE),
        ("description", "x" * 100_001), ("description", "a\x00"),
        ("status", "done"), ("status", ""), ("status", None), ("status", 1), ("status", "COMPLETED"),
        ("parameters", None), ("parameters", []), ("parameters", "{}"), ("parameters", {"a": "\x00"}),
        ("parameters", {"\x00": 1}), ("parameters", {"a": [{"b": SURROGATE}]}), ("parameters", {SURROGATE: 1}),
        ("parameters", {"a": [float("nan")]}), ("parameters", {"a": float("-inf")}), ("parameters", nested(101)),
        ("parameters", nested(500)), ("config", {"a": float("inf")}), ("result_data", nested(101)),
        ("result_value", float("nan")), ("result_value", float("inf")), ("result_value", "1"), ("result_value", True),
        ("result_value", []), ("result_value", 10**400), ("result_uri", "nowhere"), ("result_uri", "gs://" + "x" * 508),
        ("result_uri", "gs://a b"), ("result_uri", "gs://a\x00b"), ("optimization_run_id", "x" * 256),
        ("optimization_run_id", "\x00"), ("created_at", "2026-01-01T00:00:00Z"), ("num_experiments", 1),
    )),
    *((RUNS, RUN, field, value) for field, value in (
        ("method", "gradient_descent"), ("method", None), ("objective", "min"), ("objective", "MAXIMIZE"),
        ("search_space", []), ("search_space", nested(101)), ("best_value", 1.0), ("status", "paused"),
    )),
    *((QUERIES, QUERY, field, value) for field, value in (
        ("query_text", ""), ("query_text", "\x00"), ("query_text", SURROGATE), ("query_text", "x" * 100_001),
        ("selected_model", "ultra"), ("flash_latency_ms", -0.001), ("flash_latency_ms", float("inf")),
        ("pro_latency_ms", "1"), ("flash_tokens", -1), ("pro_tokens", 2**31), ("pro_tokens", 1.5), ("pro_tokens", "1"),
        ("flash_input_tokens", HUGE), ("context", []), ("flash_response", {"a": "\x00"}),
        ("estimated_cost_usd", 0), ("experiment_id", "x" * 256),
    )),
    *((f"{BACKFILL}/start", START, field, value) for field, value in (
        ("job_type", ""), ("job_type", "x" * 51), ("job_type", "a\x00"), ("start_block", -1), ("end_block", -1),
        ("start_block", 2**31), ("end_block", HUGE), ("start_block", "0"), ("start_block", 0.5), ("start_block", True),
        ("start_block", None), ("start_block", 1e400), ("end_block", float("nan")), ("start_block", 10),
        ("status", "paused"),
    )),
    *((f"{BACKFILL}/claim", CLAIM, field, value) for field, value in (
        ("worker", ""), ("worker", "x" * 101), ("worker", "\x00"), ("job_type", ""), ("lease_seconds", 0),
        ("lease_seconds", 3601), ("lease_seconds", -5), ("lease_seconds", "60"), ("lease_seconds", 1.5),
    )),
    *((f"{BACKFILL}/progress", PROGRESS, field, value) for field, value in (
        ("job_id", "nonsense"), ("job_id", 7), ("job_id", None), ("current_block", -2), ("current_block", HUGE),
        ("current_block", "1"), ("fencing_token", 0), ("fencing_token", 2**63), ("fencing_token", None),
        ("lease_seconds", 0), ("progress_percentage", 50.0),
    )),
    *((f"{BACKFILL}/{JOB}/fail", {"error_message": "x"}, field, value) for field, value in (
        ("error_message", ""), ("error_message", "\x00"), ("error_message", SURROGATE), ("fencing_token", HUGE),
    )),
    *((f"{FEEDBACK}/rate", RATE, field, value) for field, value in (
        ("rating", 0), ("rating", 6), ("rating", 4.5), ("rating", "5"), ("rating", None), ("rating", True),
        ("rating", HUGE), ("insight_id", "x" * 101), ("insight_id", ""), ("insight_id", "\x00"), ("insight_id", " i"),
    )),
    *((f"{FEEDBACK}/comment", COMMENT, field, value) for field, value in (
        ("comment", ""), ("comment", "\x00"), ("comment", SURROGATE), ("comment", "x" * 100_001), ("comment", None),
    )),
    *((f"{FEEDBACK}/flag", FLAG, field, value) for field, value in (
        ("flag_type", "boring"), ("flag_type", ""), ("flag_type", None), ("flag_reason", ""), ("flag_reason", "\x00"),
    )),
    *((METRICS, METRIC, field, value) for field, value in (
        ("service_name", "x" * 101), ("service_name", ""), ("metric_type", "x" * 51), ("unit", "x" * 21), ("unit", ""),
        ("metric_value", float("nan")), ("metric_value", float("-inf")), ("metric_value", "1"), ("metric_value", None),
        ("metric_value", True), ("metric_value", 10**400), ("timestamp", "2026-01-15T12:00:00"),
        ("timestamp", "2026-01-15"), ("timestamp", "yesterday"), ("timestamp", "infinity"), ("timestamp", None),
        ("timestamp", "2026-02-30T00:00:00Z"), ("timestamp", "10000-01-01T00:00:00Z"), ("timestamp", 10**20),
        ("timestamp", 1_700_000_000), ("timestamp", "1700000000"), ("timestamp", "-1.5"),
        ("timestamp", "0001-01-01T00:00:00Z"), ("timestamp", "9999-12-31T23:59:59.999999Z"),
        ("timestamp", "0001-01-01T00:00:00+14:00"), ("timestamp", "9999-12-31T23:59:59-14:00"),
        ("metric_metadata", {"a": "\x00"}), ("metric_metadata", []), ("metric_metadata", nested(101)),
        ("metric_metadata", {"a": float("nan")}), ("colour", "red"),
    )),
]  # fmt: skip

# Path, query, the field that is wrong.
QUERIED: list[tuple[str, dict[str, Any], str]] = [
    (EXPERIMENTS, {"status": "done"}, "status"),
    (EXPERIMENTS, {"optimization_run_id": "x" * 256}, "optimization_run_id"),
    (EXPERIMENTS, {"created_by": "a\x00"}, "created_by"),
    (RUNS, {"method": "guess"}, "method"),
    (QUERIES, {"selected_model": "ultra"}, "selected_model"),
    (QUERIES, {"include_cost_analysis": "perhaps"}, "include_cost_analysis"),
    (ESTIMATES, {"method": "sequential_differences"}, "method"),
    (DECISIONS, {"selected_method": "x"}, "selected_method"),
    (f"{BACKFILL}/status", {"status": "pending"}, "status"),
    (f"{BACKFILL}/status", {"since": "2026-01-01T00:00:00"}, "since"),
    (f"{BACKFILL}/status", {"since": "9999-12-31T23:59:59-14:00"}, "since"),
    (f"{BACKFILL}/status", {"job_type": "x" * 51}, "job_type"),
    (f"{BACKFILL}/{JOB}0", {}, "job_id"),
    (f"{BACKFILL}/%00", {}, "job_id"),
    (f"{EXPERIMENTS}/{'x' * 256}", {}, "experiment_id"),
    (f"{EXPERIMENTS}/a%00b", {}, "experiment_id"),
    (f"{RUNS}/%20", {}, "run_id"),
    (f"{QUERIES}/%09", {}, "query_id"),
    (f"{FEEDBACK}/stats", {}, "insight_id"),
    (f"{FEEDBACK}/stats", {"insight_id": "x" * 101}, "insight_id"),
    (f"{FEEDBACK}/comments", {"insight_id": ""}, "insight_id"),
    (f"{FEEDBACK}/user", {"user": "\x00"}, "user"),
    (f"{FEEDBACK}/flagged", {"min_flags": "0"}, "min_flags"),
    (f"{FEEDBACK}/flagged", {"min_flags": str(HUGE)}, "min_flags"),
    (METRICS, {"start": WINDOW["end"], "end": WINDOW["end"]}, "end"),
    (METRICS, {"start": WINDOW["end"], "end": WINDOW["start"]}, "end"),
    (METRICS, {"start": "now"}, "start"),
    (METRICS, {"service_name": "x" * 101}, "service_name"),
    (f"{METRICS}/aggregate", {"service_name": "s", **TYPED, "interval": "minute"}, "interval"),
    (f"{METRICS}/aggregate", {"service_name": "s", **TYPED, "start": WINDOW["end"]}, "end"),
    (f"{METRICS}/aggregate", {**TYPED}, "service_name"),
    (f"{METRICS}/aggregate", {"service_name": "s", **TYPED, "start": "2000-01-01T00:00:00Z"}, "end"),
    (f"{METRICS}/services", {**TYPED, "above": "nan"}, "above"),
    (f"{METRICS}/services", {**TYPED, "above": "inf"}, "above"),
    (f"{METRICS}/services", {**TYPED}, "above"),
]

# Bodies of pilot data, and the field that is wrong.
PILOTS: list[tuple[dict[str, Any], str]] = [
    (pilot("guess", y=[1, 2]), "pilot"),
    ({}, "pilot"),
    (pilot("sequential", y=[1]), "pilot.pilot_data.y"),
    (pilot("sequential", y=[0.0] * 1001), "pilot.pilot_data.y"),
    (pilot("sequential", y=[1, float("nan")]), "pilot.pilot_data.y.1"),
    (pilot("sequential", y=[1, "2"]), "pilot.pilot_data.y.1"),
    (pilot("sequential", y=[1e308, -1e308]), "pilot.pilot_data"),
    (pilot("sequential", x=[1, 2], y=[1, 2]), "pilot.pilot_data.x"),
    (pilot("replicate_pooled", replicates=[]), "pilot.pilot_data.replicates"),
    (pilot("replicate_pooled", replicates=[[]]), "pilot.pilot_data.replicates.0"),
    (pilot("replicate_pooled", replicates=[[1], [2]]), "pilot.pilot_data.replicates"),
    (pilot("replicate_pooled", replicates=[[1, None]]), "pilot.pilot_data.replicates.0.1"),
    (pilot("residuals", x=[1, 2, 3, 4], y=[1, 2, 3]), "pilot.pilot_data.x"),
    (pilot("residuals", x=[1, 1, 1, 1], y=[1, 2, 3, 4]), "pilot.pilot_data.x"),
    (pilot("residuals", x=[1, 2, 3], y=[1, 2, 3]), "pilot.pilot_data.y"),
    (pilot("residuals", x=[0, 1e-300, 1, 1], y=[1, 2, 3, 4]), "pilot.pilot_data.x"),
    (pilot("residuals", x=[-1e308, 0, 1e308, 1], y=[1, 2, 3, 4]), "pilot.pilot_data.x"),
    (pilot("residuals", x=[1, 2, 3], y=[1, 2, 3], degree=9), "pilot.pilot_data.degree"),
    (pilot("residuals", x=[1, 2, 3], y=[1, 2, 3], degree=-1), "pilot.pilot_data.degree"),
]

# Bytes that are not a body.
RAW: list[tuple[bytes, str]] = [
    (b"", "body"),
    (b"{", "body"),
    (b'{"id": }', "body"),
    (b"{'id': 'x'}", "body"),
    (b"null", "body"),
    (b"[]", "body"),
    (b'"text"', "body"),
    (b"\xff\xfe\x00", "body"),
    (b'{"name": "\xff"}', "body"),
    (b'{"parameters": {"a": ' + b"9" * 5000 + b"}}", "body"),
    (b'{"parameters": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "body"),
    (b"[" * 200_000, "body"),
    (b'{"result_value": NaN}', "result_value"),
    (b'{"result_value": 1e999}', "result_value"),
    (b'{"parameters": {"a": -Infinity}}', "parameters"),
    (b'{"name": "\\ud800"}', "name"),
]


async def refused(answer: httpx.Response, field: str, document: dict[str, Any]) -> None:
    assert_problem(answer, 422, "invalid-input", field, document=document)


def encoded(body: dict[str, Any]) -> bytes:
    """JSON with all that Python's writer can be made to write."""
    return json.dumps(body, allow_nan=True, ensure_ascii=True).encode()


async def send(client: httpx.AsyncClient, path: str, content: bytes) -> httpx.Response:
    return await client.post(path, content=content, headers={"content-type": "application/json"})


async def test_a_wrong_field_of_a_body_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    before = snapshot(database)
    for path, body, field, value in BODIES:
        with subtests.test(path=path, field=field, value=repr(value)[:40]):
            # The order of two blocks is told of the later one.
            expected = "end_block" if (field, value) == ("start_block", 10) else field
            await refused(await send(client, path, encoded({**body, field: value})), expected, document)
    assert snapshot(database) == before


async def test_a_missing_field_is_named(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    for path, body, optional in (
        (RUNS, RUN, set[str]()),
        (QUERIES, QUERY, set[str]()),
        (f"{BACKFILL}/start", START, set[str]()),
        (f"{BACKFILL}/claim", CLAIM, set[str]()),
        (f"{BACKFILL}/progress", PROGRESS, set[str]()),
        (f"{FEEDBACK}/rate", RATE, set[str]()),
        (f"{FEEDBACK}/comment", COMMENT, set[str]()),
        (f"{FEEDBACK}/flag", FLAG, set[str]()),
        (METRICS, METRIC, {"timestamp"}),
    ):
        for field in body.keys() - optional:
            with subtests.test(path=path, field=field):
                answer = await client.post(path, json={name: value for name, value in body.items() if name != field})
                assert_problem(answer, 422, "invalid-input", field)


async def test_a_wrong_query_or_path_is_named(client: httpx.AsyncClient, subtests: pytest.Subtests) -> None:
    document = document_of(client)
    for path, query, field in QUERIED:
        with subtests.test(path=path, query=query):
            await refused(await client.get(path, params=query or None), field, document)


async def test_pilot_data_that_do_not_suit_are_named_and_nothing_is_stored(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    before = snapshot(database)
    for body, field in PILOTS:
        with subtests.test(body=str(body)[:80]):
            await refused(await send(client, ESTIMATES, encoded(body)), field, document)
            if body:
                await refused(await send(client, DECISIONS, encoded(body)), field, document)
    neither = await client.post(DECISIONS, json={})
    both = await client.post(DECISIONS, json={**pilot("sequential", y=[1, 2]), "noise_estimate_id": "n"})
    for answer in (neither, both):
        await refused(answer, "noise_estimate_id", document)
    assert snapshot(database) == before


async def test_what_is_not_a_json_object_is_refused(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    before = snapshot(database)
    for content, field in RAW:
        with subtests.test(content=content[:30]):
            await refused(await send(client, EXPERIMENTS, content), field, document)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ";;"):
        with subtests.test(content_type):
            answer = await client.post(EXPERIMENTS, content=b'{"id": "x"}', headers={"content-type": content_type})
            await refused(answer, "body", document)
    assert snapshot(database) == before


async def test_no_depth_of_nesting_is_a_defect(client: httpx.AsyncClient) -> None:
    allowed = await client.post(EXPERIMENTS, json={"parameters": nested(100)})
    assert (allowed.status_code, allowed.json()["parameters"]) == (201, nested(100))
    many = {"a": [{} for _ in range(500)]}
    assert (await client.post(EXPERIMENTS, json={"parameters": many})).status_code == 201
    for depth in [*range(101, 990, 37), *range(890, 1000, 2)]:
        content = b'{"parameters": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        assert (await send(client, EXPERIMENTS, content)).status_code == 422, depth


async def test_a_batch_is_refused_whole(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    before = snapshot(database)
    for name, metrics, field in (
        ("empty", [], "metrics"),
        ("one too many", [METRIC] * 10_001, "metrics"),
        ("not a list", {"0": METRIC}, "metrics"),
        ("null row", [METRIC, None], "metrics.1"),
        ("the last row", [METRIC] * 999 + [{**METRIC, "metric_value": float("nan")}], "metrics.999.metric_value"),
        ("a moment beyond", [METRIC, {**METRIC, "timestamp": "9999-12-31T23:59:59-14:00"}], "metrics.1.timestamp"),
        ("a naive moment", [{**METRIC, "timestamp": "2026-01-15 12:00"}], "metrics.0.timestamp"),
    ):
        with subtests.test(name):
            await refused(await send(client, f"{METRICS}/batch", encoded({"metrics": metrics})), field, document)
    two = encoded({"metrics": [{**METRIC, "unit": ""}, METRIC, {**METRIC, "metric_type": 5}]})
    fields = ("metrics.0.unit", "metrics.2.metric_type")
    assert_problem(await send(client, f"{METRICS}/batch", two), 422, "invalid-input", *fields, document=document)
    assert snapshot(database) == before


async def test_the_largest_batch_is_stored(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{METRICS}/batch", json={"metrics": [METRIC] * 10_000})
    assert (answer.status_code, answer.json()) == (201, {"recorded": 10_000, "status": "success"})


async def test_an_update_cannot_empty_what_must_have_a_value(
    client: httpx.AsyncClient, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    await post(client, EXPERIMENTS, {"id": "e"})
    await post(client, RUNS, {**RUN, "id": "r"})
    before = snapshot(database)
    for path, field, value in (
        *((f"{EXPERIMENTS}/e", name, None) for name in ("name", "status", "parameters", "config")),
        *((f"{RUNS}/r", name, None) for name in ("name", "status", "search_space", "config")),
        (f"{EXPERIMENTS}/e", "id", "f"),
        (f"{EXPERIMENTS}/e", "optimization_run_id", "r"),
        (f"{EXPERIMENTS}/e", "result_value", "1"),
        (f"{RUNS}/r", "num_experiments", 7),
        (f"{RUNS}/r", "objective", "maximize"),
    ):
        with subtests.test(path=path, field=field):
            await refused(await client.patch(path, json={field: value}), field, document)
    assert snapshot(database) == before


async def test_tokens_that_do_not_add_up_are_refused(client: httpx.AsyncClient) -> None:
    body = {**QUERY, "flash_tokens": 10, "flash_input_tokens": 4, "flash_output_tokens": 5}
    await refused(await client.post(QUERIES, json=body), "flash_tokens", document_of(client))


async def test_text_that_only_looks_hostile_is_stored_as_it_is(client: httpx.AsyncClient) -> None:
    for text in ("x" * 255, "Robert'); DROP TABLE experiments;--", "%s %(id)s {0} %00", "\\u0000", "🜚 ü", "null", "\\"):
        made = await post(client, EXPERIMENTS, {"id": text, "name": text, "parameters": {text: [text]}})
        shown = (await client.get(f"{EXPERIMENTS}/{quoted(text)}")).json()["experiment"]
        assert shown == made
        assert (shown["id"], shown["name"], shown["parameters"]) == (text, text, {text: [text]})
    found = (await client.get(EXPERIMENTS, params={"created_by": "'; --"})).json()
    assert found["count"] == 0
