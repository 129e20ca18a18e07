"""One example an operation, for the API's documentation. A test checks them against the schemas."""

from typing import Any

_MOMENT = "2026-01-15T14:00:00+00:00"

EXPERIMENT_SUMMARY: dict[str, Any] = {
    "id": "exp-123",
    "name": "Perovskite synthesis",
    "status": "completed",
    "parameters": {"temp": 500, "pressure": 1.0},
    "result_value": 0.85,
    "result_uri": "gs://bucket/experiments/exp-123/result.json",
    "created_at": _MOMENT,
    "started_at": _MOMENT,
    "completed_at": "2026-01-15T15:00:00+00:00",
    "created_by": "user-789",
    "optimization_run_id": "run-456",
}
EXPERIMENT = {
    **EXPERIMENT_SUMMARY,
    "description": "Third pass at 500 degrees",
    "config": {"method": "xrd", "duration": 60},
    "result_data": {"peaks": [1.2, 3.4, 5.6]},
}
RUN_SUMMARY: dict[str, Any] = {
    "id": "run-456",
    "name": "Campaign of January",
    "method": "bayesian_optimization",
    "objective": "maximize",
    "num_experiments": 25,
    "best_value": 0.92,
    "best_experiment_id": "exp-118",
    "status": "running",
    "created_at": _MOMENT,
    "started_at": _MOMENT,
    "completed_at": None,
    "created_by": "user-789",
}
RUN = {
    **RUN_SUMMARY,
    "description": None,
    "search_space": {"temp": {"min": 300, "max": 700}},
    "config": {"acquisition": "ei"},
}
AI_QUERY_SUMMARY: dict[str, Any] = {
    "id": "query-abc",
    "query_text": "Design the next experiment to maximise yield",
    "selected_model": "flash",
    "flash_latency_ms": 245.3,
    "pro_latency_ms": None,
    "flash_tokens": 1550,
    "flash_input_tokens": 1200,
    "flash_output_tokens": 350,
    "pro_tokens": None,
    "pro_input_tokens": None,
    "pro_output_tokens": None,
    "estimated_cost_usd": 0.001235,
    "cost_known": True,
    "price_version": "2025-09",
    "created_at": _MOMENT,
    "created_by": "user-789",
    "experiment_id": "exp-123",
}
AI_QUERY = {
    **AI_QUERY_SUMMARY,
    "context": {"previous_experiments": ["exp-122"]},
    "flash_response": {"response": "Raise the temperature to 520"},
    "pro_response": None,
}
COST_ANALYSIS = {
    "total_queries": 50,
    "flash_queries": 35,
    "pro_queries": 15,
    "total_flash_tokens": 5250,
    "total_pro_tokens": 2700,
    "estimated_total_cost_usd": 0.0824,
    "unpriced_queries": 0,
    "avg_flash_latency_ms": 245.3,
    "avg_pro_latency_ms": 1150.8,
    "cost_per_query_usd": 0.001648,
}
NOISE_ESTIMATE: dict[str, Any] = {
    "id": "noise-1",
    "method": "replicate_pooled",
    "noise_std": 0.0252,
    "confidence_interval_lower": 0.0151,
    "confidence_interval_upper": 0.0723,
    "sample_size": 6,
    "reliable": False,
    "pilot_data": {"replicates": [[0.81, 0.84, 0.79], [0.9, 0.93, 0.88]]},
    "created_at": _MOMENT,
    "optimization_run_id": "run-456",
}
ROUTING_DECISION: dict[str, Any] = {
    "id": "decision-1",
    "selected_method": "bayesian_optimization",
    "confidence": 0.9,
    "reasoning": "Low noise: σ = 0.0252 is below 0.5, so a model of the objective can be trusted.",
    "threshold_used": 0.5,
    "alternatives": [{"method": "reinforcement_learning", "reason": "needs many more experiments"}],
    "warnings": [],
    "created_at": _MOMENT,
    "noise_estimate_id": "noise-1",
    "optimization_run_id": "run-456",
}
