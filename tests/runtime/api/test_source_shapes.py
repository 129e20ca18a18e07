"""The answers have the very fields of the source documents' examples, so that their clients go on working."""

from typing import Any

import httpx

from tests.runtime.api.world import (
    BACKFILL,
    EXPERIMENT,
    EXPERIMENTS,
    FEEDBACK,
    INSIGHT,
    METRICS,
    QUERIES,
    RUN,
    RUNS,
    WINDOW,
    make_world,
    quoted,
)


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_ards_answers_have_the_fields_of_its_examples(client: httpx.AsyncClient) -> None:
    await make_world(client)

    found = await get(
        client, EXPERIMENTS, status="completed", limit=100, optimization_run_id=RUN, created_by=await me(client)
    )
    assert (found["count"], found["status"]) == (1, "success")
    fields = {"id", "name", "status", "parameters", "result_value", "created_at", "optimization_run_id"}
    assert fields <= found["experiments"][0].keys()

    detail = await get(client, f"{EXPERIMENTS}/{quoted(EXPERIMENT)}")
    assert detail["experiment"]["id"] == EXPERIMENT
    assert detail["optimization_run"]["id"] == RUN

    runs = await get(client, RUNS, method="bayesian_optimization", limit=50)
    assert (runs["count"], runs["status"]) == (1, "success")
    fields = {"id", "name", "method", "objective", "num_experiments", "best_value", "status"}
    assert fields <= runs["runs"][0].keys()

    queries = await get(client, QUERIES, limit=100, selected_model="flash", include_cost_analysis="true")
    assert (queries["count"], queries["status"]) == (1, "success")
    assert queries["cost_analysis"].keys() >= {
        "total_queries",
        "flash_queries",
        "pro_queries",
        "total_flash_tokens",
        "total_pro_tokens",
        "estimated_total_cost_usd",
        "avg_flash_latency_ms",
        "avg_pro_latency_ms",
        "cost_per_query_usd",
    }
    assert "cost_analysis" not in await get(client, QUERIES)


async def me(client: httpx.AsyncClient) -> str:
    return str((await get(client, EXPERIMENTS))["experiments"][0]["created_by"])


async def test_utxoiqs_answers_have_the_fields_of_its_queries(client: httpx.AsyncClient) -> None:
    await make_world(client)

    jobs = (await get(client, f"{BACKFILL}/status", status="running"))["jobs"]
    assert jobs[0].keys() >= {
        "id",
        "job_type",
        "start_block",
        "end_block",
        "current_block",
        "status",
        "progress_percentage",
        "estimated_completion",
        "error_message",
        "started_at",
        "completed_at",
        "created_by",
    }

    stats = await get(client, f"{FEEDBACK}/stats", insight_id=INSIGHT)
    assert {name: stats[name] for name in ("total_ratings", "average_rating", "total_comments", "total_flags")} == {
        "total_ratings": 1,
        "average_rating": 4,
        "total_comments": 1,
        "total_flags": 1,
    }
    assert stats["insight_id"] == INSIGHT
    assert stats["rating_distribution"] == {"1": 0, "2": 0, "3": 0, "4": 1, "5": 0}
    (comment,) = (await get(client, f"{FEEDBACK}/comments", insight_id=INSIGHT))["comments"]
    assert {"user_id", "comment", "created_at"} <= comment.keys()
    (flagged,) = (await get(client, f"{FEEDBACK}/flagged", min_flags=1))["insights"]
    assert flagged == {"insight_id": INSIGHT, "flag_count": 1, "flag_types": ["spam"]}

    (metric,) = (await get(client, METRICS, service_name="web-api", **WINDOW))["metrics"]
    assert {"timestamp", "metric_type", "metric_value", "unit", "metric_metadata"} <= metric.keys()
    of_type = {"metric_type": "latency", **WINDOW}
    (bucket,) = (await get(client, f"{METRICS}/aggregate", service_name="web-api", **of_type))["buckets"]
    assert {"hour", "avg_value", "min_value", "max_value"} <= bucket.keys()
    (service,) = (await get(client, f"{METRICS}/services", above=-1, **of_type))["services"]
    assert service == {"service_name": "web-api", "avg_value": 0}
