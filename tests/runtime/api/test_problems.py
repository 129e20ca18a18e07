"""Errors are problem documents that name every field and leak nothing."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.runtime.api.contract import application_of, assert_problem, document_of
from tests.runtime.api.world import BACKFILL, EXPERIMENTS, FEEDBACK, METRICS, post, start_job

LEAK = "password=s3cr3t at 10.0.0.1"


async def test_an_unknown_path_and_a_wrong_method_are_problems(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    for path in ("/api/nothing", "/", "/health", "/api/v1/monitoring/backfill/a/b/c", "/api/experiments/a/b"):
        assert_problem(await client.get(path), 404, "not-found", document=document)
    wrong = await client.delete(EXPERIMENTS)
    assert_problem(wrong, 405, "method-not-allowed", document=document)
    assert set(wrong.headers["allow"].split(", ")) <= {"GET", "POST"}
    assert_problem(await client.post("/health/live"), 405, "method-not-allowed", document=document)


async def test_all_fields_that_are_wrong_are_listed_at_once(client: httpx.AsyncClient) -> None:
    body = {
        "id": "",
        "status": "done",
        "parameters": [],
        "result_value": "0.5",
        "result_uri": "nowhere",
        "unknown 'ü'": 1,
    }
    answer = await client.post(EXPERIMENTS, json=body)
    found = assert_problem(answer, 422, "invalid-input", *body, document=document_of(client))
    assert "and 5 more" in found["detail"]
    asked = {"limit": "1001", "status": "done", "created_by": "", "colour": "red"}
    answer = await client.get(EXPERIMENTS, params=asked)
    assert_problem(answer, 422, "invalid-input", *asked, document=document_of(client))


async def test_unknown_query_parameters_are_refused_by_name(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for path in (
        EXPERIMENTS,
        "/api/optimization_runs",
        "/api/ai_queries",
        "/api/noise_estimates",
        "/api/routing_decisions",
        f"{BACKFILL}/status",
        METRICS,
        f"{FEEDBACK}/user",
        f"{FEEDBACK}/flagged",
    ):
        with subtests.test(path):
            assert_problem(await client.get(path, params={"filter": "x"}), 422, "invalid-input", "filter")


async def test_an_unknown_field_of_one_row_of_a_batch_is_named_with_its_place(client: httpx.AsyncClient) -> None:
    good = {"service_name": "s", "metric_type": "t", "metric_value": 1, "unit": "u"}
    answer = await client.post(f"{METRICS}/batch", json={"metrics": [good, {**good, "colour": "red"}, good]})
    assert_problem(answer, 422, "invalid-input", "metrics.1.colour")


async def test_a_field_inside_tagged_data_is_named_by_its_place_in_the_body(client: httpx.AsyncClient) -> None:
    pilot = {"method": "residuals", "pilot_data": {"x": [1, 2, 3, "4"], "colour": 1}}
    answer = await client.post("/api/noise_estimates", json={"pilot": pilot})
    fields = ("pilot.pilot_data.x.3", "pilot.pilot_data.y", "pilot.pilot_data.colour")
    assert_problem(answer, 422, "invalid-input", *fields)
    missing = await client.post("/api/noise_estimates", json={"pilot": {"method": "residuals"}})
    assert_problem(missing, 422, "invalid-input", "pilot.pilot_data")


async def test_a_taken_id_is_a_conflict_and_the_first_row_stays(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    pilot = {"method": "sequential", "pilot_data": {"y": [1, 2]}}
    bodies: dict[str, dict[str, Any]] = {
        EXPERIMENTS: {"name": "first"},
        "/api/optimization_runs": {"method": "other", "objective": "minimize"},
        "/api/ai_queries": {"query_text": "?", "selected_model": "pro"},
        "/api/noise_estimates": {"pilot": pilot},
        "/api/routing_decisions": {"pilot": pilot},
    }
    for path, body in bodies.items():
        first = await post(client, path, {**body, "id": "taken 'ü'"})
        again = await client.post(path, json={**body, "id": "taken 'ü'"})
        assert assert_problem(again, 409, "already-exists", document=document)["detail"].startswith("id: ")
        shown = (await client.get(f"{path}/taken 'ü'")).json()
        assert shown.get("experiment", shown) == first


async def test_a_foreign_id_that_does_not_exist_is_named(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    pilot = {"method": "sequential", "pilot_data": {"y": [1, 2]}}
    for path, field, body in (
        (EXPERIMENTS, "optimization_run_id", {}),
        ("/api/ai_queries", "experiment_id", {"query_text": "?", "selected_model": "pro"}),
        ("/api/noise_estimates", "optimization_run_id", {"pilot": pilot}),
        ("/api/routing_decisions", "optimization_run_id", {"pilot": pilot}),
        ("/api/routing_decisions", "noise_estimate_id", {}),
    ):
        answer = await client.post(path, json={**body, field: "no such 'thing'"})
        assert_problem(answer, 422, "invalid-input", field, document=document)


async def test_each_refusal_of_a_job_has_its_own_status_and_code(client: httpx.AsyncClient) -> None:
    document = document_of(client)

    async def report(job: str, block: int, token: int = 1) -> httpx.Response:
        body = {"job_id": job, "current_block": block, "fencing_token": token}
        return await client.post(f"{BACKFILL}/progress", json=body)

    job = await start_job(client, "blocks")
    await post(client, f"{BACKFILL}/claim", {"worker": "w"})
    await report(job, 5)
    assert_problem(await report(job, 4), 409, "progress-regression", document=document)
    assert_problem(await report(job, 10), 422, "block-out-of-range", "current_block", document=document)
    assert_problem(await report(job, 6, token=2), 409, "foreign-token", document=document)
    assert_problem(await report("019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11", 6), 404, "not-found", document=document)
    leased = await client.post(f"{BACKFILL}/{job}/fail", json={"error_message": "x"})
    assert_problem(leased, 409, "job-leased", document=document)
    assert (await report(job, 9)).json()["status"] == "completed"
    assert_problem(await report(job, 8), 409, "job-not-running", document=document)
    assert_problem(await client.post(f"{BACKFILL}/{job}/pause"), 409, "job-not-running", document=document)
    assert_problem(await client.post(f"{BACKFILL}/{job}/resume"), 409, "illegal-transition", document=document)


async def test_an_illegal_transition_is_a_conflict(client: httpx.AsyncClient) -> None:
    await post(client, EXPERIMENTS, {"id": "e", "status": "failed"})
    answer = await client.patch(f"{EXPERIMENTS}/e", json={"status": "running"})
    assert_problem(answer, 409, "illegal-transition", document=document_of(client))
    assert_problem(await client.patch(f"{EXPERIMENTS}/nope", json={}), 404, "not-found", document=document_of(client))


async def test_the_callers_request_id_comes_back_unless_it_is_hostile(client: httpx.AsyncClient) -> None:
    given = "trace/1:2.3+4=5_6-7"
    answer = await client.get("/api/nothing", headers={"X-Request-Id": given})
    assert assert_problem(answer, 404)["request_id"] == given
    for hostile in ("a b", "x" * 129, "<script>", "é", ""):
        answer = await client.get("/api/nothing", headers={"X-Request-Id": hostile.encode()})
        assert re.fullmatch(r"[0-9a-f-]{36}", assert_problem(answer, 404)["request_id"])
    first, second = [await client.get(EXPERIMENTS) for _ in range(2)]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


class Broken:
    """A dependency with a defect, whose message is nobody's business."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise RuntimeError(LEAK)


async def test_a_defect_answers_500_with_an_id_and_leaks_nothing(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    state = application_of(client).state
    database, state.database = state.database, Broken()
    answer = await client.get(EXPERIMENTS)
    assert_problem(answer, 500, "internal-error", document=document)
    state.database, keys, state.keys = database, state.keys, Broken()
    assert_problem(await client.post(EXPERIMENTS, json={}), 500, "internal-error")
    state.keys = keys
    assert (await client.get(EXPERIMENTS)).json()["count"] == 0
    for secret in (LEAK, "s3cr3t", "RuntimeError", "Traceback", ".py"):
        assert secret not in answer.text
