"""ARD's five tables: experiments, campaigns, AI queries, noise estimates and routing decisions."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric, String, text
from sqlalchemy.orm import Mapped, mapped_column

from runtime.db.base import Base, Json, Moment, Name, Now, Subject, finite, one_of
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, ModelTier, NoiseMethod, Objective

STATUSES = tuple(ExperimentStatus)


def ended() -> CheckConstraint:
    """A run or an experiment that has ended says when, and one that has not says nothing."""
    return CheckConstraint(
        "(status IN ('completed', 'failed', 'cancelled')) = (completed_at IS NOT NULL)", name="completed_at"
    )


class OptimizationRun(Base):
    """A campaign: many experiments, chosen by one method, towards one objective."""

    __tablename__ = "optimization_runs"

    id: Mapped[Name] = mapped_column(primary_key=True)
    name: Mapped[Name]
    description: Mapped[str | None]
    method: Mapped[str] = mapped_column(String(50))
    objective: Mapped[Name]
    search_space: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    config: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    num_experiments: Mapped[int] = mapped_column(
        server_default=text("0"), doc="Completed ones; follows them, with the best, in their transaction."
    )
    best_value: Mapped[float | None] = mapped_column(doc="By the objective.")
    best_experiment_id: Mapped[str | None] = mapped_column(
        ForeignKey("experiments.id", ondelete="SET NULL", use_alter=True)
    )
    status: Mapped[str] = mapped_column(String(20), server_default=text("'pending'"))
    created_at: Mapped[Now]
    started_at: Mapped[Moment | None]
    completed_at: Mapped[Moment | None]
    created_by: Mapped[Subject | None]

    __table_args__ = (
        one_of("method", tuple(Method)),
        one_of("objective", tuple(Objective)),
        one_of("status", STATUSES),
        ended(),
        CheckConstraint("num_experiments >= 0", name="num_experiments"),
        *finite("best_value"),
        Index("idx_optimization_runs_method", "method"),
        Index("idx_optimization_runs_status", "status"),
        Index("idx_optimization_runs_created_at", "created_at"),
        Index("idx_optimization_runs_best_experiment", "best_experiment_id"),
    )


class Experiment(Base):
    """One measurement or simulation."""

    __tablename__ = "experiments"

    id: Mapped[Name] = mapped_column(primary_key=True)
    name: Mapped[Name]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(String(20), server_default=text("'pending'"))
    parameters: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    config: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    result_value: Mapped[float | None]
    result_data: Mapped[Json | None]
    result_uri: Mapped[str | None] = mapped_column(
        String(512), doc="Where the full result is, such as gs://bucket/object."
    )
    created_at: Mapped[Now]
    started_at: Mapped[Moment | None]
    completed_at: Mapped[Moment | None]
    created_by: Mapped[Subject | None]
    optimization_run_id: Mapped[str | None] = mapped_column(ForeignKey("optimization_runs.id"))

    __table_args__ = (
        one_of("status", STATUSES),
        ended(),
        *finite("result_value"),
        Index("idx_experiments_status", "status"),
        Index("idx_experiments_created_at", "created_at"),
        Index("idx_experiments_optimization_run", "optimization_run_id"),
        # The best of a run is one step in this index, however many experiments it has.
        Index(
            "idx_experiments_run_result",
            "optimization_run_id",
            "result_value",
            postgresql_where=text("status = 'completed' AND result_value IS NOT NULL"),
        ),
    )


class AiQuery(Base):
    """One question to the Gemini models, with what it took and cost."""

    __tablename__ = "ai_queries"

    id: Mapped[Name] = mapped_column(primary_key=True)
    query_text: Mapped[str]
    context: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    flash_response: Mapped[Json | None]
    pro_response: Mapped[Json | None]
    selected_model: Mapped[str] = mapped_column(String(50))
    flash_latency_ms: Mapped[float | None]
    pro_latency_ms: Mapped[float | None]
    flash_tokens: Mapped[int | None] = mapped_column(doc="Input and output together.")
    flash_input_tokens: Mapped[int | None]
    flash_output_tokens: Mapped[int | None]
    pro_tokens: Mapped[int | None] = mapped_column(doc="Input and output together.")
    pro_input_tokens: Mapped[int | None]
    pro_output_tokens: Mapped[int | None]
    estimated_cost_usd: Mapped[Decimal | None] = mapped_column(
        Numeric(18, 9), doc="Null where tokens are missing: a price is not guessed."
    )
    price_version: Mapped[str | None] = mapped_column(String(32), doc="The price table that the cost is from.")
    created_at: Mapped[Now]
    created_by: Mapped[Subject | None]
    experiment_id: Mapped[str | None] = mapped_column(ForeignKey("experiments.id", ondelete="SET NULL"))

    __table_args__ = (
        one_of("selected_model", tuple(ModelTier)),
        # A price is never guessed, and one that is there says which table it came from.
        CheckConstraint("(estimated_cost_usd IS NULL) = (price_version IS NULL)", name="priced"),
        CheckConstraint("estimated_cost_usd >= 0", name="cost"),
        CheckConstraint("flash_latency_ms >= 0 AND flash_latency_ms < 'Infinity'", name="flash_latency"),
        CheckConstraint("pro_latency_ms >= 0 AND pro_latency_ms < 'Infinity'", name="pro_latency"),
        CheckConstraint(
            "flash_tokens >= 0 AND flash_input_tokens >= 0 AND flash_output_tokens >= 0", name="flash_tokens_sign"
        ),
        CheckConstraint("pro_tokens >= 0 AND pro_input_tokens >= 0 AND pro_output_tokens >= 0", name="pro_tokens_sign"),
        CheckConstraint("flash_tokens = flash_input_tokens + flash_output_tokens", name="flash_tokens_sum"),
        CheckConstraint("pro_tokens = pro_input_tokens + pro_output_tokens", name="pro_tokens_sum"),
        Index("idx_ai_queries_created_at", "created_at"),
        Index("idx_ai_queries_selected_model", "selected_model"),
        Index("idx_ai_queries_experiment", "experiment_id"),
    )


class NoiseEstimate(Base):
    """How noisy a measurement is, from pilot data, with a 95% interval."""

    __tablename__ = "noise_estimates"

    id: Mapped[Name] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(String(100))
    noise_std: Mapped[float] = mapped_column(doc="In the unit of the measurement, as is its 95% interval.")
    confidence_interval_lower: Mapped[float]
    confidence_interval_upper: Mapped[float]
    sample_size: Mapped[int]
    reliable: Mapped[bool] = mapped_column(doc="Five degrees of freedom or more.")
    pilot_data: Mapped[Json] = mapped_column(doc="What the estimate was computed from.")
    created_at: Mapped[Now]
    optimization_run_id: Mapped[str | None] = mapped_column(ForeignKey("optimization_runs.id", ondelete="SET NULL"))

    __table_args__ = (
        one_of("method", tuple(NoiseMethod)),
        CheckConstraint(
            "0 <= confidence_interval_lower AND confidence_interval_lower <= noise_std "
            "AND noise_std <= confidence_interval_upper AND confidence_interval_upper < 'Infinity'",
            name="interval",
        ),
        CheckConstraint("sample_size > 0", name="sample_size"),
        Index("idx_noise_estimates_created_at", "created_at"),
        Index("idx_noise_estimates_method", "method"),
        Index("idx_noise_estimates_optimization_run", "optimization_run_id"),
    )


class RoutingDecision(Base):
    """Which method the adaptive router chose, and why."""

    __tablename__ = "routing_decisions"

    id: Mapped[Name] = mapped_column(primary_key=True)
    selected_method: Mapped[str] = mapped_column(String(50))
    confidence: Mapped[float]
    reasoning: Mapped[str]
    threshold_used: Mapped[float | None] = mapped_column(
        doc="The noise limit that decided; null where the noise is not known."
    )
    alternatives: Mapped[Json] = mapped_column(
        server_default=text("'[]'"), doc="The methods that were not chosen, with reasons."
    )
    warnings: Mapped[Json] = mapped_column(server_default=text("'[]'"))
    created_at: Mapped[Now]
    noise_estimate_id: Mapped[str | None] = mapped_column(ForeignKey("noise_estimates.id", ondelete="SET NULL"))
    optimization_run_id: Mapped[str | None] = mapped_column(ForeignKey("optimization_runs.id", ondelete="SET NULL"))

    __table_args__ = (
        one_of("selected_method", tuple(Method), name="method"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        *finite("threshold_used"),
        Index("idx_routing_decisions_method", "selected_method"),
        Index("idx_routing_decisions_created_at", "created_at"),
        Index("idx_routing_decisions_noise_estimate", "noise_estimate_id"),
        Index("idx_routing_decisions_optimization_run", "optimization_run_id"),
    )
