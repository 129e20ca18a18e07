"""utxoIQ's three tables; metrics by month."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


# Rows of a month without a partition wait here: a metric is never refused and never lost.
DEFAULT_PARTITION = "CREATE TABLE system_metrics_default PARTITION OF system_metrics DEFAULT"

# Makes the partition of this month and of those ahead, and of past months whose rows wait in the default partition
# (a few a run: each takes locks), and moves those rows. The caller needs no right to create anything.
ENSURE_PARTITIONS = """
CREATE FUNCTION ensure_metric_partitions(months_ahead integer)
RETURNS TABLE (partition_name text, rows_moved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    first timestamptz;
    next timestamptz;
    this_month timestamptz := date_trunc('month', now());
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead is %, and may be 0 to 24', months_ahead USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One at a time: the second finds the work done.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_metric_partitions'));
    FOR first IN
        SELECT this_month + make_interval(months => n) FROM generate_series(0, months_ahead) AS n
        UNION ALL
        (SELECT DISTINCT date_trunc('month', timestamp) AS month FROM system_metrics_default
         WHERE timestamp < this_month ORDER BY month DESC LIMIT 36)
    LOOP
        partition_name := to_char(first, '"system_metrics_"YYYY_MM');
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        next := first + interval '1 month';
        -- Writers wait here, before they choose a partition: one that had chosen the default would be refused after the
        -- attachment. Readers do not.
        LOCK TABLE ONLY system_metrics IN SHARE ROW EXCLUSIVE MODE;
        -- Nobody may add to the default partition between the move and the attachment.
        LOCK TABLE system_metrics_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE system_metrics INCLUDING ALL)', partition_name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM system_metrics_default WHERE timestamp >= %L AND timestamp < %L RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', first, next, partition_name);
        GET DIAGNOSTICS rows_moved = ROW_COUNT;
        EXECUTE format(
            'ALTER TABLE system_metrics ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition_name, first, next);
        RETURN NEXT;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "backfill_jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid7()"), nullable=False),
        sa.Column("job_type", sa.String(length=50), nullable=False),
        sa.Column("start_block", sa.Integer(), nullable=False),
        sa.Column("end_block", sa.Integer(), nullable=False),
        sa.Column("current_block", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'running'"), nullable=False),
        sa.Column(
            "progress_percentage",
            sa.Float(precision=53),
            sa.Computed(
                "100.0::double precision * (current_block::bigint - start_block + 1) / greatest(end_block::bigint - start_block + 1, 1)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("estimated_completion", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.String(length=100), nullable=True),
        sa.Column("lease_owner", sa.String(length=100), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fencing_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed')) = (completed_at IS NOT NULL)",
            name=op.f("ck_backfill_jobs_completed_at"),
        ),
        sa.CheckConstraint(
            "lease_owner IS NULL OR status = 'running'", name=op.f("ck_backfill_jobs_leased_only_while_running")
        ),
        sa.CheckConstraint(
            "status <> 'completed' OR current_block = end_block", name=op.f("ck_backfill_jobs_completed")
        ),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'paused')", name=op.f("ck_backfill_jobs_status")
        ),
        sa.CheckConstraint("(lease_owner IS NULL) = (lease_expires_at IS NULL)", name=op.f("ck_backfill_jobs_lease")),
        sa.CheckConstraint(
            "current_block BETWEEN start_block - 1 AND end_block", name=op.f("ck_backfill_jobs_current_block")
        ),
        sa.CheckConstraint("start_block >= 0 AND end_block >= start_block", name=op.f("ck_backfill_jobs_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill_jobs")),
    )
    op.create_index("idx_backfill_job_type", "backfill_jobs", ["job_type"], unique=False)
    op.create_index("idx_backfill_started", "backfill_jobs", ["started_at"], unique=False)
    op.create_index("idx_backfill_status", "backfill_jobs", ["status"], unique=False)
    op.create_table(
        "insight_feedback",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid7()"), nullable=False),
        sa.Column("insight_id", sa.String(length=100), nullable=False),
        sa.Column("user_id", sa.String(length=100), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("flag_type", sa.String(length=50), nullable=True),
        sa.Column("flag_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "flag_type IN ('inaccurate', 'misleading', 'spam')", name=op.f("ck_insight_feedback_flag_type")
        ),
        sa.CheckConstraint(
            "flag_reason IS NULL OR flag_type IS NOT NULL", name=op.f("ck_insight_feedback_flag_reason")
        ),
        sa.CheckConstraint(
            "num_nonnulls(rating, comment, flag_type) > 0", name=op.f("ck_insight_feedback_says_something")
        ),
        sa.CheckConstraint("rating IS NULL OR (rating >= 1 AND rating <= 5)", name=op.f("chk_rating_range")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_insight_feedback")),
        sa.UniqueConstraint("insight_id", "user_id", name="uq_insight_user_feedback"),
    )
    op.create_index("idx_feedback_created", "insight_feedback", ["created_at"], unique=False)
    op.create_index("idx_feedback_insight", "insight_feedback", ["insight_id"], unique=False)
    op.create_index("idx_feedback_user", "insight_feedback", ["user_id"], unique=False)
    op.create_table(
        "system_metrics",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuid7()"), nullable=False),
        sa.Column("service_name", sa.String(length=100), nullable=False),
        sa.Column("metric_type", sa.String(length=50), nullable=False),
        sa.Column("metric_value", sa.Float(precision=53), nullable=False),
        sa.Column("unit", sa.String(length=20), nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("metric_metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "metric_value > '-Infinity' AND metric_value < 'Infinity'",
            name=op.f("ck_system_metrics_metric_value_finite"),
        ),
        sa.PrimaryKeyConstraint("id", "timestamp", name=op.f("pk_system_metrics")),
        postgresql_partition_by="RANGE (timestamp)",
    )
    op.create_index("idx_metrics_service_time", "system_metrics", ["service_name", "timestamp"], unique=False)
    op.create_index("idx_metrics_timestamp", "system_metrics", ["timestamp"], unique=False)
    op.create_index("idx_metrics_type_time", "system_metrics", ["metric_type", "timestamp"], unique=False)
    op.execute(DEFAULT_PARTITION)
    op.execute(ENSURE_PARTITIONS)


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_metric_partitions(integer)")
    op.drop_table("system_metrics")
    op.drop_table("insight_feedback")
    op.drop_table("backfill_jobs")
