"""ARD's five tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "optimization_runs",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("method", sa.String(length=50), nullable=False),
        sa.Column("objective", sa.String(length=255), nullable=False),
        sa.Column(
            "search_space", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("num_experiments", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("best_value", sa.Float(precision=53), nullable=True),
        sa.Column("best_experiment_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)",
            name=op.f("ck_optimization_runs_completed_at"),
        ),
        sa.CheckConstraint(
            "best_value > '-Infinity' AND best_value < 'Infinity'", name=op.f("ck_optimization_runs_best_value_finite")
        ),
        sa.CheckConstraint(
            "method IN ('bayesian_optimization', 'reinforcement_learning', 'adaptive_router', 'random_search', 'grid_search', 'other')",
            name=op.f("ck_optimization_runs_method"),
        ),
        sa.CheckConstraint("objective IN ('minimize', 'maximize')", name=op.f("ck_optimization_runs_objective")),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_optimization_runs_status"),
        ),
        sa.CheckConstraint("num_experiments >= 0", name=op.f("ck_optimization_runs_num_experiments")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_optimization_runs")),
    )
    op.create_index("idx_optimization_runs_best_experiment", "optimization_runs", ["best_experiment_id"], unique=False)
    op.create_index("idx_optimization_runs_created_at", "optimization_runs", ["created_at"], unique=False)
    op.create_index("idx_optimization_runs_method", "optimization_runs", ["method"], unique=False)
    op.create_index("idx_optimization_runs_status", "optimization_runs", ["status"], unique=False)
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=20), server_default=sa.text("'pending'"), nullable=False),
        sa.Column(
            "parameters", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("result_value", sa.Float(precision=53), nullable=True),
        sa.Column("result_data", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("result_uri", sa.String(length=512), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("optimization_run_id", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)",
            name=op.f("ck_experiments_completed_at"),
        ),
        sa.CheckConstraint(
            "result_value > '-Infinity' AND result_value < 'Infinity'", name=op.f("ck_experiments_result_value_finite")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'completed', 'failed', 'cancelled')", name=op.f("ck_experiments_status")
        ),
        sa.ForeignKeyConstraint(
            ["optimization_run_id"], ["optimization_runs.id"], name=op.f("fk_experiments_optimization_run_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
    )
    op.create_index("idx_experiments_created_at", "experiments", ["created_at"], unique=False)
    op.create_index("idx_experiments_optimization_run", "experiments", ["optimization_run_id"], unique=False)
    op.create_index(
        "idx_experiments_run_result",
        "experiments",
        ["optimization_run_id", "result_value"],
        unique=False,
        postgresql_where=sa.text("status = 'completed' AND result_value IS NOT NULL"),
    )
    op.create_index("idx_experiments_status", "experiments", ["status"], unique=False)
    op.create_foreign_key(
        "fk_optimization_runs_best_experiment_id",
        "optimization_runs",
        "experiments",
        ["best_experiment_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_table(
        "ai_queries",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("query_text", sa.Text(), nullable=False),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("flash_response", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("pro_response", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("selected_model", sa.String(length=50), nullable=False),
        sa.Column("flash_latency_ms", sa.Float(precision=53), nullable=True),
        sa.Column("pro_latency_ms", sa.Float(precision=53), nullable=True),
        sa.Column("flash_tokens", sa.Integer(), nullable=True),
        sa.Column("flash_input_tokens", sa.Integer(), nullable=True),
        sa.Column("flash_output_tokens", sa.Integer(), nullable=True),
        sa.Column("pro_tokens", sa.Integer(), nullable=True),
        sa.Column("pro_input_tokens", sa.Integer(), nullable=True),
        sa.Column("pro_output_tokens", sa.Integer(), nullable=True),
        sa.Column("estimated_cost_usd", sa.Numeric(precision=18, scale=9), nullable=True),
        sa.Column("price_version", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=True),
        sa.Column("experiment_id", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "flash_latency_ms >= 0 AND flash_latency_ms < 'Infinity'", name=op.f("ck_ai_queries_flash_latency")
        ),
        sa.CheckConstraint(
            "pro_latency_ms >= 0 AND pro_latency_ms < 'Infinity'", name=op.f("ck_ai_queries_pro_latency")
        ),
        sa.CheckConstraint("selected_model IN ('flash', 'pro')", name=op.f("ck_ai_queries_selected_model")),
        sa.CheckConstraint("(estimated_cost_usd IS NULL) = (price_version IS NULL)", name=op.f("ck_ai_queries_priced")),
        sa.CheckConstraint("estimated_cost_usd >= 0", name=op.f("ck_ai_queries_cost")),
        sa.CheckConstraint(
            "flash_tokens = flash_input_tokens + flash_output_tokens", name=op.f("ck_ai_queries_flash_tokens_sum")
        ),
        sa.CheckConstraint(
            "flash_tokens >= 0 AND flash_input_tokens >= 0 AND flash_output_tokens >= 0",
            name=op.f("ck_ai_queries_flash_tokens_sign"),
        ),
        sa.CheckConstraint(
            "pro_tokens = pro_input_tokens + pro_output_tokens", name=op.f("ck_ai_queries_pro_tokens_sum")
        ),
        sa.CheckConstraint(
            "pro_tokens >= 0 AND pro_input_tokens >= 0 AND pro_output_tokens >= 0",
            name=op.f("ck_ai_queries_pro_tokens_sign"),
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_ai_queries_experiment_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ai_queries")),
    )
    op.create_index("idx_ai_queries_created_at", "ai_queries", ["created_at"], unique=False)
    op.create_index("idx_ai_queries_experiment", "ai_queries", ["experiment_id"], unique=False)
    op.create_index("idx_ai_queries_selected_model", "ai_queries", ["selected_model"], unique=False)
    op.create_table(
        "noise_estimates",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("method", sa.String(length=100), nullable=False),
        sa.Column("noise_std", sa.Float(precision=53), nullable=False),
        sa.Column("confidence_interval_lower", sa.Float(precision=53), nullable=False),
        sa.Column("confidence_interval_upper", sa.Float(precision=53), nullable=False),
        sa.Column("sample_size", sa.Integer(), nullable=False),
        sa.Column("reliable", sa.Boolean(), nullable=False),
        sa.Column("pilot_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("optimization_run_id", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "0 <= confidence_interval_lower AND confidence_interval_lower <= noise_std AND noise_std <= confidence_interval_upper AND confidence_interval_upper < 'Infinity'",
            name=op.f("ck_noise_estimates_interval"),
        ),
        sa.CheckConstraint(
            "method IN ('replicate_pooled', 'residuals', 'sequential')", name=op.f("ck_noise_estimates_method")
        ),
        sa.CheckConstraint("sample_size > 0", name=op.f("ck_noise_estimates_sample_size")),
        sa.ForeignKeyConstraint(
            ["optimization_run_id"],
            ["optimization_runs.id"],
            name=op.f("fk_noise_estimates_optimization_run_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_noise_estimates")),
    )
    op.create_index("idx_noise_estimates_created_at", "noise_estimates", ["created_at"], unique=False)
    op.create_index("idx_noise_estimates_method", "noise_estimates", ["method"], unique=False)
    op.create_index("idx_noise_estimates_optimization_run", "noise_estimates", ["optimization_run_id"], unique=False)
    op.create_table(
        "routing_decisions",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("selected_method", sa.String(length=50), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=False),
        sa.Column("threshold_used", sa.Float(precision=53), nullable=True),
        sa.Column(
            "alternatives", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
        sa.Column("warnings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("noise_estimate_id", sa.String(length=255), nullable=True),
        sa.Column("optimization_run_id", sa.String(length=255), nullable=True),
        sa.CheckConstraint(
            "selected_method IN ('bayesian_optimization', 'reinforcement_learning', 'adaptive_router', 'random_search', 'grid_search', 'other')",
            name=op.f("ck_routing_decisions_method"),
        ),
        sa.CheckConstraint(
            "threshold_used > '-Infinity' AND threshold_used < 'Infinity'",
            name=op.f("ck_routing_decisions_threshold_used_finite"),
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_routing_decisions_confidence")),
        sa.ForeignKeyConstraint(
            ["noise_estimate_id"],
            ["noise_estimates.id"],
            name=op.f("fk_routing_decisions_noise_estimate_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["optimization_run_id"],
            ["optimization_runs.id"],
            name=op.f("fk_routing_decisions_optimization_run_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_decisions")),
    )
    op.create_index("idx_routing_decisions_created_at", "routing_decisions", ["created_at"], unique=False)
    op.create_index("idx_routing_decisions_method", "routing_decisions", ["selected_method"], unique=False)
    op.create_index("idx_routing_decisions_noise_estimate", "routing_decisions", ["noise_estimate_id"], unique=False)
    op.create_index(
        "idx_routing_decisions_optimization_run", "routing_decisions", ["optimization_run_id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("routing_decisions")
    op.drop_table("noise_estimates")
    op.drop_table("ai_queries")
    op.drop_constraint("fk_optimization_runs_best_experiment_id", "optimization_runs")
    op.drop_table("experiments")
    op.drop_table("optimization_runs")
