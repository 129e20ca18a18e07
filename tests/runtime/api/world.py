"""A small world behind the API, and one right call of each operation in it."""

from dataclasses import dataclass, field
from typing import Any

import httpx

NOON = "2026-01-15T12:00:00+00:00"
LATER = "2026-01-15T13:00:00+00:00"
EXPERIMENTS, RUNS, QUERIES = "/api/experiments", "/api/optimization_runs", "/api/ai_queries"
ESTIMATES, DECISIONS = "/api/noise_estimates", "/api/routing_decisions"
BACKFILL, FEEDBACK, METRICS = "/api/v1/monitoring/backfill", "/api/v1/feedback", "/api/v1/monitoring/metrics"
DATABASE = "/api/v1/monitoring/database"

# Ids that a path must quote.
EXPERIMENT, RUN, QUERY, ESTIMATE, DECISION = "exp 'ü' 100%?#", "rün;1", "query&=+", 'noise"1', "decision:1"
INSIGHT = "insight '100%'"
PILOT = {"method": "replicate_pooled", "pilot_data": {"replicates": [[0.81, 0.84, 0.79], [0.9, 0.93, 0.88]]}}
METRIC = {"service_name": "web-api", "metric_type": "latency", "metric_value": 0.0, "unit": "ms", "timestamp": NOON}
WINDOW = {"start": NOON, "end": LATER}


@dataclass(frozen=True)
class Call:
    """One right call."""

    status: int = 200
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    async def send(self, client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
        """Make the call, with every part of the path quoted."""
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", quoted(value))
        return await client.request(method, path, params=self.query or None, json=self.body)


def quoted(part: str) -> str:
    """A part of a path."""
    return "".join(f"%{byte:02X}" for byte in part.encode())


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """A call that is right."""
    answer = await client.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def start_job(client: httpx.AsyncClient, job_type: str) -> str:
    """A job over ten blocks; its id."""
    job = await post(client, f"{BACKFILL}/start", {"job_type": job_type, "start_block": 0, "end_block": 9})
    return str(job["id"])


async def make_world(client: httpx.AsyncClient) -> dict[tuple[str, str], Call]:
    """Fill the database through the API.

    Returns:
        By method and path, a call that succeeds.
    """
    run = {"id": RUN, "method": "bayesian_optimization", "objective": "maximize", "search_space": {"t": {"min": 0}}}
    experiment = {"id": EXPERIMENT, "optimization_run_id": RUN, "parameters": {"%s": [0.0, "ü", None]}}
    query = {"id": QUERY, "query_text": "why?", "selected_model": "flash", "experiment_id": EXPERIMENT}
    await post(client, RUNS, run)
    await post(client, EXPERIMENTS, {**experiment, "status": "completed", "result_value": 0.0})
    await post(client, QUERIES, {**query, "flash_input_tokens": 1200, "flash_output_tokens": 350})
    await post(client, ESTIMATES, {"id": ESTIMATE, "optimization_run_id": RUN, "pilot": PILOT})
    await post(client, DECISIONS, {"id": DECISION, "noise_estimate_id": ESTIMATE})
    jobs = {name: await start_job(client, name) for name in ("reported", "paused", "running", "failing", "waiting")}
    await post(client, f"{BACKFILL}/claim", {"worker": "w", "job_type": "reported"})
    await post(client, f"{BACKFILL}/{jobs['paused']}/pause", {})
    await post(client, f"{FEEDBACK}/rate", {"insight_id": INSIGHT, "rating": 4})
    await post(client, f"{FEEDBACK}/comment", {"insight_id": INSIGHT, "comment": "100% 'ü'"})
    await post(client, f"{FEEDBACK}/flag", {"insight_id": INSIGHT, "flag_type": "spam", "flag_reason": "%"})
    await post(client, METRICS, METRIC)
    about = {"insight_id": INSIGHT}
    of_type = {"metric_type": "latency", **WINDOW}
    return {
        ("get", EXPERIMENTS): Call(),
        ("post", EXPERIMENTS): Call(201, body={**experiment, "id": "another"}),
        ("get", f"{EXPERIMENTS}/{{experiment_id}}"): Call(path={"experiment_id": EXPERIMENT}),
        ("patch", f"{EXPERIMENTS}/{{experiment_id}}"): Call(
            path={"experiment_id": EXPERIMENT}, body={"result_value": 1.5}
        ),
        ("get", RUNS): Call(),
        ("post", RUNS): Call(201, body={**run, "id": "another"}),
        ("get", f"{RUNS}/{{run_id}}"): Call(path={"run_id": RUN}),
        ("patch", f"{RUNS}/{{run_id}}"): Call(path={"run_id": RUN}, body={"status": "running"}),
        ("get", QUERIES): Call(query={"include_cost_analysis": "true"}),
        ("post", QUERIES): Call(201, body={**query, "id": "another"}),
        ("get", f"{QUERIES}/{{query_id}}"): Call(path={"query_id": QUERY}),
        ("get", ESTIMATES): Call(),
        ("post", ESTIMATES): Call(201, body={"pilot": PILOT}),
        ("get", f"{ESTIMATES}/{{estimate_id}}"): Call(path={"estimate_id": ESTIMATE}),
        ("get", DECISIONS): Call(),
        ("post", DECISIONS): Call(201, body={"pilot": PILOT}),
        ("get", f"{DECISIONS}/{{decision_id}}"): Call(path={"decision_id": DECISION}),
        ("post", f"{BACKFILL}/start"): Call(201, body={"job_type": "blocks", "start_block": 0, "end_block": 0}),
        ("post", f"{BACKFILL}/claim"): Call(body={"worker": "w'1", "job_type": "waiting"}),
        ("post", f"{BACKFILL}/progress"): Call(
            body={"job_id": jobs["reported"], "current_block": 4, "fencing_token": 1}
        ),
        ("get", f"{BACKFILL}/status"): Call(query={"status": "running", "since": NOON}),
        ("get", f"{BACKFILL}/{{job_id}}"): Call(path={"job_id": jobs["running"]}),
        ("post", f"{BACKFILL}/{{job_id}}/pause"): Call(path={"job_id": jobs["running"]}),
        ("post", f"{BACKFILL}/{{job_id}}/resume"): Call(path={"job_id": jobs["paused"]}),
        ("post", f"{BACKFILL}/{{job_id}}/fail"): Call(path={"job_id": jobs["failing"]}, body={"error_message": "%"}),
        ("post", f"{FEEDBACK}/rate"): Call(body={**about, "rating": 5}),
        ("post", f"{FEEDBACK}/comment"): Call(body={**about, "comment": "changed"}),
        ("post", f"{FEEDBACK}/flag"): Call(body={**about, "flag_type": "misleading"}),
        ("get", f"{FEEDBACK}/stats"): Call(query=about),
        ("get", f"{FEEDBACK}/comments"): Call(query=about),
        ("get", f"{FEEDBACK}/user"): Call(),
        ("get", f"{FEEDBACK}/flagged"): Call(query={"min_flags": 1}),
        ("post", METRICS): Call(201, body=METRIC),
        ("post", f"{METRICS}/batch"): Call(201, body={"metrics": [METRIC, {**METRIC, "metric_metadata": {"": None}}]}),
        ("get", METRICS): Call(query=WINDOW),
        ("get", f"{METRICS}/aggregate"): Call(query={"service_name": "web-api", "interval": "day", **of_type}),
        ("get", f"{METRICS}/services"): Call(query={"above": -1, **of_type}),
        ("get", f"{DATABASE}/pool"): Call(),
        ("get", f"{DATABASE}/queries"): Call(query={"order": "p95"}),
        ("post", f"{DATABASE}/publish-metrics"): Call(409),
    }
