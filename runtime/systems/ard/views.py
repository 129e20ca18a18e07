"""What answers show of ARD's rows, and the lists over them."""

from sqlalchemy import func

from runtime.db.lists import Listing, equals
from runtime.db.query import columns_of
from runtime.systems.ard import schemas
from runtime.systems.ard.models import AiQuery, Experiment, NoiseEstimate, OptimizationRun, RoutingDecision

_COST = (
    # Without the zeros up to the column's scale.
    func.trim_scale(AiQuery.estimated_cost_usd).label("estimated_cost_usd"),
    AiQuery.estimated_cost_usd.is_not(None).label("cost_known"),
)

EXPERIMENT = columns_of(Experiment, schemas.Experiment)
RUN = columns_of(OptimizationRun, schemas.Run)
AI_QUERY = columns_of(AiQuery, schemas.AiQuery, *_COST)
NOISE_ESTIMATE = columns_of(NoiseEstimate, schemas.NoiseEstimate)
ROUTING_DECISION = columns_of(RoutingDecision, schemas.RoutingDecision)

AI_QUERY_FILTERS = equals(AiQuery.selected_model, AiQuery.experiment_id, AiQuery.created_by)

EXPERIMENTS = Listing(
    schemas.ExperimentSummary,
    columns_of(Experiment, schemas.ExperimentSummary),
    key=(Experiment.created_at, Experiment.id),
    filters=equals(Experiment.status, Experiment.optimization_run_id, Experiment.created_by),
)
RUNS = Listing(
    schemas.RunSummary,
    columns_of(OptimizationRun, schemas.RunSummary),
    key=(OptimizationRun.created_at, OptimizationRun.id),
    filters=equals(OptimizationRun.method, OptimizationRun.status, OptimizationRun.created_by),
)
AI_QUERIES = Listing(
    schemas.AiQuerySummary,
    columns_of(AiQuery, schemas.AiQuerySummary, *_COST),
    key=(AiQuery.created_at, AiQuery.id),
    filters=AI_QUERY_FILTERS,
)
NOISE_ESTIMATES = Listing(
    schemas.NoiseEstimate,
    NOISE_ESTIMATE,
    key=(NoiseEstimate.created_at, NoiseEstimate.id),
    filters=equals(NoiseEstimate.method, NoiseEstimate.optimization_run_id),
)
ROUTING_DECISIONS = Listing(
    schemas.RoutingDecision,
    ROUTING_DECISION,
    key=(RoutingDecision.created_at, RoutingDecision.id),
    filters=equals(
        RoutingDecision.selected_method, RoutingDecision.optimization_run_id, RoutingDecision.noise_estimate_id
    ),
)
