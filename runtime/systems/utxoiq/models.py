"""utxoIQ's three tables: backfill jobs, feedback on insights, and metrics by month."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Computed, DateTime, Index, String, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.elements import conv

from runtime.db.base import Base, Moment, Now, UuidKey, finite, one_of
from runtime.systems.utxoiq.vocabulary import FlagType, JobStatus


class BackfillJob(Base):
    """A range of blocks to ingest, and the lease of the worker that ingests it.

    `current_block` is the last finished block: start_block - 1 until the first is done.
    """

    __tablename__ = "backfill_jobs"

    id: Mapped[UuidKey]
    job_type: Mapped[str] = mapped_column(String(50))
    start_block: Mapped[int]
    end_block: Mapped[int]
    current_block: Mapped[int] = mapped_column(doc="The last finished block; start_block - 1 before the first.")
    status: Mapped[str] = mapped_column(String(20), server_default=text("'running'"))
    # From the blocks, by the database: no client can say otherwise.
    progress_percentage: Mapped[float] = mapped_column(
        Computed(
            "100.0::double precision * (current_block::bigint - start_block + 1)"
            # An empty range is the check's to refuse, and a division by zero would come before it.
            " / greatest(end_block::bigint - start_block + 1, 1)",
            persisted=True,
        )
    )
    estimated_completion: Mapped[Moment | None]
    error_message: Mapped[str | None]
    started_at: Mapped[Now]
    completed_at: Mapped[Moment | None]
    created_by: Mapped[str | None] = mapped_column(String(100))
    lease_owner: Mapped[str | None] = mapped_column(String(100), doc="The worker that holds the job.")
    lease_expires_at: Mapped[Moment | None] = mapped_column(doc="From then on another worker may claim the job.")
    fencing_token: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0"), doc="Grows with each claim: what a former holder sends no longer fits."
    )
    attempt: Mapped[int] = mapped_column(server_default=text("0"), doc="How often the job was claimed.")

    __table_args__ = (
        one_of("status", tuple(JobStatus)),
        CheckConstraint("start_block >= 0 AND end_block >= start_block", name="range"),
        CheckConstraint("current_block BETWEEN start_block - 1 AND end_block", name="current_block"),
        CheckConstraint("(status IN ('completed', 'failed')) = (completed_at IS NOT NULL)", name="completed_at"),
        CheckConstraint("status <> 'completed' OR current_block = end_block", name="completed"),
        CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name="lease"),
        CheckConstraint("lease_owner IS NULL OR status = 'running'", name="leased_only_while_running"),
        Index("idx_backfill_status", "status"),
        Index("idx_backfill_started", "started_at"),
        Index("idx_backfill_job_type", "job_type"),
    )


class InsightFeedback(Base):
    """What one user says of one insight: a rating, a comment, a flag, or several of them."""

    __tablename__ = "insight_feedback"

    id: Mapped[UuidKey]
    insight_id: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[str] = mapped_column(String(100), doc="The subject of the principal that says it.")
    rating: Mapped[int | None]
    comment: Mapped[str | None]
    flag_type: Mapped[str | None] = mapped_column(String(50))
    flag_reason: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("insight_id", "user_id", name="uq_insight_user_feedback"),
        # The sources name it; the convention would put the table's name before it.
        CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name=conv("chk_rating_range")),
        one_of("flag_type", tuple(FlagType)),
        CheckConstraint("flag_reason IS NULL OR flag_type IS NOT NULL", name="flag_reason"),
        CheckConstraint("num_nonnulls(rating, comment, flag_type) > 0", name="says_something"),
        Index("idx_feedback_insight", "insight_id"),
        Index("idx_feedback_user", "user_id"),
        Index("idx_feedback_created", "created_at"),
    )


class SystemMetric(Base):
    """One measurement of one service, in the partition of its month (UTC)."""

    __tablename__ = "system_metrics"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, server_default=text("uuid7()"))
    service_name: Mapped[str] = mapped_column(String(100))
    metric_type: Mapped[str] = mapped_column(String(50))
    metric_value: Mapped[float]
    unit: Mapped[str] = mapped_column(String(20))
    timestamp: Mapped[dt.datetime] = mapped_column(
        DateTime(timezone=True), primary_key=True, server_default=text("now()")
    )
    metric_metadata: Mapped[dict[str, Any] | None] = mapped_column(JSONB)

    __table_args__ = (
        *finite("metric_value"),
        Index("idx_metrics_service_time", "service_name", "timestamp"),
        Index("idx_metrics_type_time", "metric_type", "timestamp"),
        Index("idx_metrics_timestamp", "timestamp"),
        {"postgresql_partition_by": "RANGE (timestamp)"},
    )
