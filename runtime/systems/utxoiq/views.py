"""What answers show of utxoIQ's rows, and the lists over them."""

from sqlalchemy import DateTime, bindparam

from runtime.db.lists import Listing, equals
from runtime.db.query import columns_of
from runtime.systems.utxoiq import schemas
from runtime.systems.utxoiq.models import BackfillJob, InsightFeedback, SystemMetric

_MOMENT = DateTime(timezone=True)

JOB = columns_of(BackfillJob, schemas.BackfillJob)
CLAIMED_JOB = columns_of(BackfillJob, schemas.ClaimedJob, (BackfillJob.current_block + 1).label("resume_block"))
FEEDBACK = columns_of(InsightFeedback, schemas.Feedback)
METRIC = columns_of(SystemMetric, schemas.Metric)

JOBS = Listing(
    schemas.BackfillJob,
    JOB,
    key=(BackfillJob.started_at, BackfillJob.id),
    filters={
        **equals(BackfillJob.status, BackfillJob.job_type),
        "since": BackfillJob.started_at >= bindparam("since", type_=_MOMENT),
    },
)
COMMENTS = Listing(
    schemas.FeedbackComment,
    columns_of(InsightFeedback, schemas.FeedbackComment),
    key=(InsightFeedback.created_at, InsightFeedback.id),
    filters=equals(InsightFeedback.insight_id),
    where=InsightFeedback.comment.is_not(None),
)
USER_FEEDBACK = Listing(
    schemas.Feedback,
    FEEDBACK,
    key=(InsightFeedback.created_at, InsightFeedback.id),
    filters=equals(InsightFeedback.user_id),
)
METRICS = Listing(
    schemas.Metric,
    METRIC,
    key=(SystemMetric.timestamp, SystemMetric.id),
    filters={
        **equals(SystemMetric.service_name, SystemMetric.metric_type),
        "start": SystemMetric.timestamp >= bindparam("start", type_=_MOMENT),
        "end": SystemMetric.timestamp < bindparam("end", type_=_MOMENT),
    },
)
