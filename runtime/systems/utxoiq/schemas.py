"""utxoIQ's requests and answers."""

import datetime as dt
import uuid
from typing import Annotated, Any, NotRequired, Self

from pydantic import Field, Strict, model_validator
from typing_extensions import TypedDict

from runtime.fields import (
    INT4_MAX,
    Count,
    Input,
    JsonObject,
    Limit,
    Listed,
    Moment,
    Number,
    Output,
    Paging,
    ShortIdentifier,
    Text,
    Word,
)
from runtime.systems.utxoiq.vocabulary import FlagType, Interval, JobStatus

Token = Annotated[int, Strict(), Field(ge=1, le=2**63 - 1, examples=[1])]
LeaseSeconds = Annotated[int, Strict(), Field(ge=1, le=3600, description="How long nobody else may claim the job.")]
DEFAULT_LEASE = 60
MAX_BATCH = 10_000
# A year by the hour.
MAX_BUCKETS = 8_784
# An hour after the example of a moment: a window's end.
_LATER = "2026-01-15T15:00:00Z"


def refuse_backwards(start: dt.datetime, end: dt.datetime) -> None:
    """A window that ends before it begins is a mistake, not an empty answer."""
    if end <= start:
        message = "end: must be after start"
        raise ValueError(message)


class BackfillStart(Input):
    """A range of blocks to ingest, both ends included."""

    job_type: Word = Field(examples=["blocks"])
    start_block: Count = Field(examples=[800_000])
    end_block: Count = Field(examples=[840_000])

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.end_block < self.start_block:
            message = f"end_block: is {self.end_block}, before start_block, {self.start_block}"
            raise ValueError(message)
        return self


class BackfillClaim(Input):
    """A worker that wants a job."""

    worker: ShortIdentifier = Field(examples=["worker-1"])
    job_type: Word | None = None
    lease_seconds: LeaseSeconds = DEFAULT_LEASE


class BackfillProgress(Input):
    """How far a worker has come. It renews the lease; at end_block the job is completed."""

    job_id: uuid.UUID = Field(examples=["019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11"])
    current_block: Annotated[int, Strict(), Field(ge=-1, le=INT4_MAX, description="The last finished block.")] = Field(
        examples=[819_999]
    )
    fencing_token: Token
    lease_seconds: LeaseSeconds = DEFAULT_LEASE


class BackfillFail(Input):
    """Why a job failed. While a worker holds the job, its token is needed."""

    error_message: Text = Field(examples=["block 812345 cannot be parsed"])
    fencing_token: Token | None = None


class BackfillJob(Output):
    """A job and how far it is."""

    id: uuid.UUID
    job_type: str
    start_block: int
    end_block: int
    current_block: int = Field(description="The last finished block; start_block - 1 before the first.")
    status: JobStatus
    progress_percentage: float
    estimated_completion: dt.datetime | None
    error_message: str | None
    started_at: dt.datetime
    completed_at: dt.datetime | None
    created_by: str | None
    lease_owner: str | None
    lease_expires_at: dt.datetime | None
    attempt: int


class ClaimedJob(BackfillJob):
    """A job and the right to work on it."""

    fencing_token: int = Field(description="Send it with each progress; a newer claim makes it worthless.")
    resume_block: int = Field(description="The first block that is not finished.")


class BackfillFilter(Paging):
    """Which jobs."""

    status: JobStatus | None = None
    job_type: Word | None = None
    since: Moment | None = Field(default=None, description="Started at this moment or later.")


class BackfillList(Listed):
    """Newest first."""

    jobs: list[BackfillJob]


class Rate(Input):
    """A rating of an insight by the caller."""

    insight_id: ShortIdentifier = Field(examples=["insight-123"])
    rating: Annotated[int, Strict(), Field(ge=1, le=5)] = Field(examples=[5])


class Comment(Input):
    """A comment on an insight by the caller."""

    insight_id: ShortIdentifier = Field(examples=["insight-123"])
    comment: Text = Field(examples=["Matches what I saw on chain"])


class Flag(Input):
    """What the caller holds against an insight."""

    insight_id: ShortIdentifier = Field(examples=["insight-123"])
    flag_type: FlagType = Field(examples=["inaccurate"])
    flag_reason: Text | None = None


class Feedback(Output):
    """What one user says of one insight."""

    id: uuid.UUID
    insight_id: str
    user_id: str
    rating: int | None
    comment: str | None
    flag_type: FlagType | None
    flag_reason: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class FeedbackStatsFilter(Input):
    """Which insight."""

    insight_id: ShortIdentifier = Field(examples=["insight-123"])


class FeedbackStats(Output):
    """All feedback on one insight, counted."""

    insight_id: str
    total_ratings: int
    average_rating: float | None
    total_comments: int
    total_flags: int
    rating_distribution: dict[str, int] = Field(description="How often each rating from 1 to 5 was given.")


class CommentFilter(Paging):
    """Whose comments: those on one insight."""

    limit: Limit = 20
    insight_id: ShortIdentifier = Field(examples=["insight-123"])


class FeedbackComment(Output):
    """A comment on an insight."""

    id: uuid.UUID
    user_id: str
    comment: str
    created_at: dt.datetime


class CommentList(Listed):
    """Newest first."""

    comments: list[FeedbackComment]


class UserFilter(Paging):
    """Whose feedback: the caller's; another's with the scope utxoiq:admin."""

    user: ShortIdentifier | None = None


class FeedbackList(Listed):
    """Newest first."""

    feedback: list[Feedback]


class FlaggedFilter(Input):
    """Insights flagged at least this often."""

    min_flags: Annotated[int, Field(ge=1, le=INT4_MAX)] = 3
    limit: Limit = 100


class FlaggedInsight(Output):
    """An insight that users hold something against."""

    insight_id: str
    flag_count: int
    flag_types: list[FlagType]


class FlaggedList(Output):
    """Most flagged first."""

    insights: list[FlaggedInsight]
    count: int


class MetricInput(TypedDict):
    """One measurement."""

    # A dictionary, since a batch has thousands.
    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012  # pydantic's way for a TypedDict

    service_name: Annotated[ShortIdentifier, Field(examples=["web-api"])]
    metric_type: Annotated[Word, Field(examples=["latency"])]
    metric_value: Annotated[Number, Field(examples=[84.2])]
    unit: Annotated[Word, Field(max_length=20, examples=["ms"])]
    timestamp: NotRequired[Annotated[Moment, Field(description="This moment when left out.")]]
    metric_metadata: NotRequired[Annotated[JsonObject | None, Field(examples=[{"region": "us-central1"}])]]


class MetricBatch(Input):
    """Measurements to store together: all or none."""

    metrics: Annotated[list[MetricInput], Field(min_length=1, max_length=MAX_BATCH)]


class Recorded(Output):
    """How many measurements were stored."""

    recorded: int
    status: str


class Metric(Output):
    """One measurement."""

    id: uuid.UUID
    service_name: str
    metric_type: str
    metric_value: float
    unit: str
    timestamp: dt.datetime
    metric_metadata: dict[str, Any] | None


class MetricFilter(Paging):
    """Which measurements; `start` is included, `end` is not."""

    service_name: ShortIdentifier | None = None
    metric_type: Word | None = None
    start: Moment | None = None
    end: Moment | None = Field(default=None, examples=[_LATER])

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.start is not None and self.end is not None:
            refuse_backwards(self.start, self.end)
        return self


class MetricList(Listed):
    """Newest first."""

    metrics: list[Metric]


class Window(Input):
    """A time span: `start` is included, `end` is not."""

    start: Moment
    end: Moment = Field(examples=[_LATER])

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        refuse_backwards(self.start, self.end)
        return self


class AggregateFilter(Window):
    """Which measurements, and in buckets of which width."""

    service_name: ShortIdentifier = Field(examples=["web-api"])
    metric_type: Word = Field(examples=["latency"])
    interval: Interval = Interval.HOUR

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        width = dt.timedelta(hours=1) if self.interval == Interval.HOUR else dt.timedelta(days=1)
        if self.end - self.start > MAX_BUCKETS * width:
            message = (
                f"end: is more than {MAX_BUCKETS:,} buckets after start; ask for a shorter time or a wider interval"
            )
            raise ValueError(message)
        return self


class Bucket(Output):
    """One hour or day (UTC). The moment is named as the interval is."""

    hour: dt.datetime | None = None
    day: dt.datetime | None = None
    avg_value: float
    min_value: float
    max_value: float
    count: int


class AggregateList(Output):
    """Oldest first; a bucket without measurements is left out."""

    service_name: str
    metric_type: str
    interval: Interval
    buckets: list[Bucket]
    count: int


class ServiceFilter(Window):
    """Services whose average of a metric is above a threshold."""

    metric_type: Word = Field(examples=["cpu"])
    above: Annotated[float, Field(allow_inf_nan=False)] = Field(examples=[80])


class ServiceAverage(Output):
    """A service and its average."""

    service_name: str
    avg_value: float


class ServiceList(Output):
    """Highest first."""

    services: list[ServiceAverage]
    count: int
