"""ARD's API, at the paths of its source, with creation and update beside them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from runtime.api import etags
from runtime.api.context import CREATED, ListCall, caller, database, json_response
from runtime.api.guard import guarded_route
from runtime.api.idempotency import post
from runtime.fields import Identifier, Limit, Paging, example_page
from runtime.problems import AlreadyExists, IllegalTransition, InvalidCursor, NotFound, documented
from runtime.systems.ard import ai_service, examples, routing_service, schemas, service
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, ModelTier, NoiseMethod

router = APIRouter(prefix="/api", tags=["ARD"], route_class=guarded_route("ard"))

ExperimentId = Annotated[Identifier, Path(examples=["exp-123"])]
RunId = Annotated[Identifier, Path(examples=["run-456"])]
QueryId = Annotated[Identifier, Path(examples=["query-abc"])]
EstimateId = Annotated[Identifier, Path(examples=["noise-1"])]
DecisionId = Annotated[Identifier, Path(examples=["decision-1"])]


class ExperimentFilter(Paging):
    """Which experiments."""

    status: ExperimentStatus | None = None
    optimization_run_id: Identifier | None = None
    created_by: Identifier | None = None


class RunFilter(Paging):
    """Which campaigns."""

    limit: Limit = 50
    method: Method | None = None
    status: ExperimentStatus | None = None
    created_by: Identifier | None = None


class AiQueryFilter(Paging):
    """Which questions, and whether with an analysis of their cost."""

    selected_model: ModelTier | None = None
    experiment_id: Identifier | None = None
    created_by: Identifier | None = None
    include_cost_analysis: bool = Field(default=False, examples=[True])


class NoiseEstimateFilter(Paging):
    """Which estimates."""

    method: NoiseMethod | None = None
    optimization_run_id: Identifier | None = None


class RoutingDecisionFilter(Paging):
    """Which decisions."""

    selected_method: Method | None = None
    optimization_run_id: Identifier | None = None
    noise_estimate_id: Identifier | None = None


def _filters(asked: Paging, *others: str) -> dict[str, Any]:
    return asked.model_dump(exclude={"limit", "cursor", *others})


@router.get(
    "/experiments",
    responses=documented(
        schemas.ExperimentList, example_page("experiments", examples.EXPERIMENT_SUMMARY), InvalidCursor
    ),
)
async def list_experiments(request: Request, asked: Annotated[ExperimentFilter, Query()]) -> Response:
    """List experiments, newest first."""
    filters = _filters(asked)
    call = ListCall(request, "experiments", asked.cursor, **filters)
    page = await service.get_experiments(database(request), limit=asked.limit, after=call.after, **filters)
    return call.response(page, items="experiments")


@router.post(
    "/experiments",
    status_code=CREATED,
    **etags.of_creation(documented(schemas.Experiment, examples.EXPERIMENT, AlreadyExists, status=CREATED)),
)
async def create_experiment(request: Request, body: schemas.ExperimentCreate) -> Response:
    """Record an experiment, planned or finished; the caller becomes created_by."""
    fields, subject = body.model_dump(exclude={"id"}), caller(request).subject
    return await post(
        request,
        lambda tx: service.create_experiment(tx, experiment_id=body.id, created_by=subject, **fields),
        status=CREATED,
    )


@router.get(
    "/experiments/{experiment_id}",
    **etags.of_read(
        documented(
            schemas.ExperimentDetail,
            {"experiment": examples.EXPERIMENT, "optimization_run": examples.RUN, "status": "success"},
            NotFound,
        )
    ),
)
async def get_experiment(request: Request, experiment_id: ExperimentId) -> Response:
    """Show an experiment and the campaign that it belongs to."""
    experiment, run = await service.get_experiment(database(request), experiment_id)
    shown = [experiment] if run is None else [experiment, run]
    body = b'{"experiment":%b,"optimization_run":%b,"status":"success"}'
    return etags.response(request, body % (experiment.json, b"null" if run is None else run.json), *shown)


@router.patch(
    "/experiments/{experiment_id}",
    **etags.of_change(documented(schemas.Experiment, examples.EXPERIMENT, NotFound, IllegalTransition)),
)
async def update_experiment(request: Request, experiment_id: ExperimentId, body: schemas.ExperimentUpdate) -> Response:
    """Change an experiment; its campaign's count and best follow in the same transaction."""
    fields = body.model_dump(exclude_unset=True)
    return await etags.change(
        request,
        lambda tx, versions: service.update_experiment(tx, experiment_id=experiment_id, versions=versions, **fields),
    )


@router.get(
    "/optimization_runs",
    responses=documented(schemas.RunList, example_page("runs", examples.RUN_SUMMARY), InvalidCursor),
)
async def list_runs(request: Request, asked: Annotated[RunFilter, Query()]) -> Response:
    """List optimisation runs, newest first."""
    filters = _filters(asked)
    call = ListCall(request, "optimization_runs", asked.cursor, **filters)
    page = await service.get_runs(database(request), limit=asked.limit, after=call.after, **filters)
    return call.response(page, items="runs")


@router.post(
    "/optimization_runs",
    status_code=CREATED,
    **etags.of_creation(documented(schemas.Run, examples.RUN, AlreadyExists, status=CREATED)),
)
async def create_run(request: Request, body: schemas.RunCreate) -> Response:
    """Begin an optimisation run; the caller becomes created_by."""
    fields, subject = body.model_dump(exclude={"id"}), caller(request).subject
    return await post(
        request, lambda tx: service.create_run(tx, run_id=body.id, created_by=subject, **fields), status=CREATED
    )


@router.get("/optimization_runs/{run_id}", **etags.of_read(documented(schemas.Run, examples.RUN, NotFound)))
async def get_run(request: Request, run_id: RunId) -> Response:
    """Show an optimisation run."""
    run = await service.get_run(database(request), run_id)
    return etags.response(request, run.json, run)


@router.patch(
    "/optimization_runs/{run_id}",
    **etags.of_change(documented(schemas.Run, examples.RUN, NotFound, IllegalTransition)),
)
async def update_run(request: Request, run_id: RunId, body: schemas.RunUpdate) -> Response:
    """Change an optimisation run; its count and best follow from its experiments."""
    fields = body.model_dump(exclude_unset=True)
    return await etags.change(
        request, lambda tx, versions: service.update_run(tx, run_id=run_id, versions=versions, **fields)
    )


@router.get(
    "/ai_queries",
    responses=documented(
        schemas.AiQueryList,
        {**example_page("queries", examples.AI_QUERY_SUMMARY), "cost_analysis": examples.COST_ANALYSIS},
        InvalidCursor,
    ),
)
async def list_ai_queries(request: Request, asked: Annotated[AiQueryFilter, Query()]) -> Response:
    """List questions to the models, newest first; on request with an analysis of all that fit the filters."""
    filters = _filters(asked, "include_cost_analysis")
    call = ListCall(request, "ai_queries", asked.cursor, **filters)
    page = await ai_service.get_ai_queries(database(request), limit=asked.limit, after=call.after, **filters)
    extra = b""
    if asked.include_cost_analysis:
        extra = b',"cost_analysis":%b' % (await ai_service.analyse_cost(database(request), **filters)).json
    return call.response(page, items="queries", extra=extra)


@router.post(
    "/ai_queries",
    status_code=CREATED,
    responses=documented(schemas.AiQuery, examples.AI_QUERY, AlreadyExists, status=CREATED),
)
async def log_ai_query(request: Request, body: schemas.AiQueryCreate) -> Response:
    """Record a question to the models and price it; the caller becomes created_by."""
    fields, subject = body.model_dump(exclude={"id"}), caller(request).subject
    return await post(
        request,
        lambda tx: ai_service.log_ai_query(tx, query_id=body.id, created_by=subject, **fields),
        status=CREATED,
    )


@router.get("/ai_queries/{query_id}", responses=documented(schemas.AiQuery, examples.AI_QUERY, NotFound))
async def get_ai_query(request: Request, query_id: QueryId) -> Response:
    """Show a question with its answers."""
    return json_response((await ai_service.get_ai_query(database(request), query_id)).json)


@router.get(
    "/noise_estimates",
    responses=documented(
        schemas.NoiseEstimateList, example_page("noise_estimates", examples.NOISE_ESTIMATE), InvalidCursor
    ),
)
async def list_noise_estimates(request: Request, asked: Annotated[NoiseEstimateFilter, Query()]) -> Response:
    """List noise estimates, newest first."""
    filters = _filters(asked)
    call = ListCall(request, "noise_estimates", asked.cursor, **filters)
    page = await routing_service.get_noise_estimates(database(request), limit=asked.limit, after=call.after, **filters)
    return call.response(page, items="noise_estimates")


@router.post(
    "/noise_estimates",
    status_code=CREATED,
    responses=documented(schemas.NoiseEstimate, examples.NOISE_ESTIMATE, AlreadyExists, status=CREATED),
)
async def create_noise_estimate(request: Request, body: schemas.NoiseEstimateCreate) -> Response:
    """Compute a noise estimate from pilot data, and store both."""
    return await post(
        request,
        lambda tx: routing_service.create_noise_estimate(
            tx, pilot=body.pilot, estimate_id=body.id, optimization_run_id=body.optimization_run_id
        ),
        status=CREATED,
    )


@router.get(
    "/noise_estimates/{estimate_id}",
    responses=documented(schemas.NoiseEstimate, examples.NOISE_ESTIMATE, NotFound),
)
async def get_noise_estimate(request: Request, estimate_id: EstimateId) -> Response:
    """Show a noise estimate."""
    return json_response((await routing_service.get_noise_estimate(database(request), estimate_id)).json)


@router.get(
    "/routing_decisions",
    responses=documented(
        schemas.RoutingDecisionList, example_page("routing_decisions", examples.ROUTING_DECISION), InvalidCursor
    ),
)
async def list_routing_decisions(request: Request, asked: Annotated[RoutingDecisionFilter, Query()]) -> Response:
    """List routing decisions, newest first."""
    filters = _filters(asked)
    call = ListCall(request, "routing_decisions", asked.cursor, **filters)
    page = await routing_service.get_routing_decisions(
        database(request), limit=asked.limit, after=call.after, **filters
    )
    return call.response(page, items="routing_decisions")


@router.post(
    "/routing_decisions",
    status_code=CREATED,
    responses=documented(schemas.RoutingDecision, examples.ROUTING_DECISION, AlreadyExists, status=CREATED),
)
async def create_routing_decision(request: Request, body: schemas.RoutingDecisionCreate) -> Response:
    """Choose a method by a noise estimate, or by pilot data."""
    return await post(
        request,
        lambda tx: routing_service.create_routing_decision(
            tx,
            decision_id=body.id,
            noise_estimate_id=body.noise_estimate_id,
            pilot=body.pilot,
            optimization_run_id=body.optimization_run_id,
        ),
        status=CREATED,
    )


@router.get(
    "/routing_decisions/{decision_id}",
    responses=documented(schemas.RoutingDecision, examples.ROUTING_DECISION, NotFound),
)
async def get_routing_decision(request: Request, decision_id: DecisionId) -> Response:
    """Show a routing decision."""
    return json_response((await routing_service.get_routing_decision(database(request), decision_id)).json)
