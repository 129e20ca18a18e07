"""Figures for Prometheus, and the monitoring of the database for people."""

from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response

from runtime.api.context import database, json_response
from runtime.api.guard import guarded_route
from runtime.observability import exposition
from runtime.observability.figures import Figures
from runtime.platform import monitoring_examples as examples
from runtime.platform import monitoring_schemas as schemas
from runtime.platform import monitoring_service as service
from runtime.problems import (
    Forbidden,
    InvalidInput,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    documented,
    responses,
)

router = APIRouter(tags=["monitoring of the database"], route_class=guarded_route("platform"))
PREFIX = "/api/v1/monitoring/database"


# Its format is Prometheus' to describe, and no schema of JSON fits it.
@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The instance's figures for Prometheus, or as OpenMetrics if the caller asks for that."""
    body, media_type = exposition.written(await _figures(request).instance(), request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


@router.get(f"{PREFIX}/pool", responses=documented(schemas.PoolReport, examples.POOL))
async def pool(request: Request) -> Response:
    """Show the use of the connections, of all workers of the instance together."""
    report = await service.pool_report(await _figures(request).instance(), database(request))
    return json_response(report.model_dump_json().encode())


@router.get(f"{PREFIX}/queries", responses=documented(schemas.QueryReport, examples.QUERIES))
async def queries(request: Request, asked: Annotated[schemas.StatementFilter, Query()]) -> Response:
    """Show how long statements take, of all workers of the instance together."""
    instance = await _figures(request).instance()
    report = await service.query_report(
        instance, database(request), limit=asked.limit, order=schemas.Order(asked.order)
    )
    return json_response(report.model_dump_json().encode())


@router.post(
    f"{PREFIX}/publish-metrics",
    status_code=HTTPStatus.SERVICE_UNAVAILABLE,
    responses=responses(Unauthenticated, Forbidden, InvalidInput, TooManyRequests, Unavailable),
)
async def publish_metrics(_request: Request) -> Response:
    """Publish the figures to Cloud Monitoring: not built yet, and refused."""
    message = "publishing to Cloud Monitoring is not built yet; GET /metrics has the same figures for Prometheus"
    raise Unavailable(message)


def _figures(request: Request) -> Figures:
    return cast("Figures", request.app.state.figures)
