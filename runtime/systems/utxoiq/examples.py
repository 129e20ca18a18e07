"""One example an operation, for the API's documentation. A test checks them against the schemas."""

from typing import Any

from runtime.fields import example_page

_MOMENT = "2026-01-15T14:00:00+00:00"
_ID = "019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11"

JOB: dict[str, Any] = {
    "id": _ID,
    "job_type": "blocks",
    "start_block": 800_000,
    "end_block": 840_000,
    "current_block": 819_999,
    "status": "running",
    "progress_percentage": 49.998750031249216,
    "estimated_completion": "2026-01-15T18:00:00+00:00",
    "error_message": None,
    "started_at": _MOMENT,
    "completed_at": None,
    "created_by": "user-789",
    "lease_owner": "worker-1",
    "lease_expires_at": "2026-01-15T16:01:00+00:00",
    "attempt": 1,
}
CLAIMED_JOB = {**JOB, "fencing_token": 1, "resume_block": 820_000}
PAUSED_JOB = {**JOB, "status": "paused", "lease_owner": None, "lease_expires_at": None}
RESUMED_JOB = {**PAUSED_JOB, "status": "running"}
FAILED_JOB = {
    **PAUSED_JOB,
    "status": "failed",
    "error_message": "block 812345 cannot be parsed",
    "completed_at": "2026-01-15T16:00:00+00:00",
}
FEEDBACK: dict[str, Any] = {
    "id": _ID,
    "insight_id": "insight-123",
    "user_id": "user-789",
    "rating": 5,
    "comment": "Matches what I saw on chain",
    "flag_type": None,
    "flag_reason": None,
    "created_at": _MOMENT,
    "updated_at": _MOMENT,
}
STATS = {
    "insight_id": "insight-123",
    "total_ratings": 3,
    "average_rating": 4.3333333333333333,
    "total_comments": 1,
    "total_flags": 0,
    "rating_distribution": {"1": 0, "2": 0, "3": 0, "4": 2, "5": 1},
}
COMMENTS = example_page(
    "comments",
    {"id": _ID, "user_id": "user-789", "comment": "Matches what I saw on chain", "created_at": _MOMENT},
)
USER_FEEDBACK = example_page("feedback", FEEDBACK)
FLAGGED = {
    "insights": [{"insight_id": "insight-666", "flag_count": 4, "flag_types": ["misleading", "spam"]}],
    "count": 1,
}
METRIC: dict[str, Any] = {
    "id": _ID,
    "service_name": "web-api",
    "metric_type": "latency",
    "metric_value": 84.2,
    "unit": "ms",
    "timestamp": _MOMENT,
    "metric_metadata": {"region": "us-central1"},
}
METRICS = example_page("metrics", METRIC)
RECORDED = {"recorded": 5000, "status": "success"}
AGGREGATE = {
    "service_name": "web-api",
    "metric_type": "latency",
    "interval": "hour",
    "buckets": [{"hour": _MOMENT, "avg_value": 84.2, "min_value": 12.5, "max_value": 310.0, "count": 60}],
    "count": 1,
}
SERVICES = {"services": [{"service_name": "web-api", "avg_value": 91.5}], "count": 1}
JOBS = example_page("jobs", JOB)
FLAGGED_FEEDBACK = {**FEEDBACK, "flag_type": "inaccurate", "flag_reason": "The amount is off by a factor of ten"}
