"""Figures for Prometheus, and the monitoring of the database for people."""

from typing import Annotated, cast

import structlog
from fastapi import APIRouter, Query, Request, Response

from runtime.api.context import database, json_response
from runtime.api.guard import guarded_route
from runtime.api.idempotency import KEYLESS
from runtime.observability import exposition
from runtime.observability.figures import Figures
from runtime.observability.place import PublishingError
from runtime.observability.publishing import Publisher
from runtime.platform import monitoring_examples as examples
from runtime.platform import monitoring_schemas as schemas
from runtime.platform import monitoring_service as service
from runtime.problems import NotConfigured, Unavailable, documented

log = structlog.get_logger()

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
    responses=documented(schemas.PublicationReport, examples.PUBLICATION, NotConfigured),
    # A repetition tells what is so by then.
    openapi_extra={KEYLESS: True},
)
async def publish_metrics(request: Request) -> Response:
    """Write the figures of the instance that answers to Cloud Monitoring, of all its workers together."""
    publisher = _publisher(request)
    if publisher is None:
        message = "GOOGLE_CLOUD_PROJECT is not set, so nothing is written; GET /metrics has the figures for Prometheus"
        raise NotConfigured(message)
    try:
        publication, is_new = await publisher.publish(await _figures(request).instance())
    except PublishingError as error:
        log.warning("metrics_not_published", reason=str(error))
        message = f"the figures could not be written to Cloud Monitoring ({error.reason}); the log has its words"
        raise Unavailable(message) from None
    report = service.publication_report(publisher, publication, is_new=is_new)
    return json_response(report.model_dump_json().encode())


def _figures(request: Request) -> Figures:
    return cast("Figures", request.app.state.figures)


def _publisher(request: Request) -> Publisher | None:
    return cast("Publisher | None", request.app.state.publisher)
