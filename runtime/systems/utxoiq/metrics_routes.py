"""Metrics: one or a batch in; recent, aggregated or above a threshold out."""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from runtime.api.caching import cached
from runtime.api.context import CREATED, ListCall, database, unpaged_response
from runtime.api.guard import guarded_route
from runtime.api.idempotency import post
from runtime.db.documents import Document
from runtime.db.pool import Transaction
from runtime.problems import InvalidCursor, documented
from runtime.systems.utxoiq import caching, examples, metrics_service, schemas

router = APIRouter(prefix="/api/v1/monitoring/metrics", tags=["utxoIQ metrics"], route_class=guarded_route("utxoiq"))


@router.post("", status_code=CREATED, responses=documented(schemas.Metric, examples.METRIC, status=CREATED))
async def record(request: Request, body: schemas.MetricInput) -> Response:
    """Store one measurement; without a timestamp, as of now."""
    scopes = caching.of_measured([(body["service_name"], body["metric_type"])])
    return await post(request, lambda tx: metrics_service.record_metric(tx, body), *scopes, status=CREATED)


@router.post(
    "/batch",
    status_code=CREATED,
    responses=documented(schemas.Recorded, examples.RECORDED, status=CREATED),
)
async def record_batch(request: Request, body: schemas.MetricBatch) -> Response:
    """Store up to 10,000 measurements together: all, or none if one is refused."""
    scopes = caching.of_measured((metric["service_name"], metric["metric_type"]) for metric in body.metrics)

    async def work(tx: Transaction) -> Document[schemas.Recorded]:
        recorded = await metrics_service.record_metrics(tx, body.metrics)
        return Document(b'{"recorded":%d,"status":"success"}' % recorded, schemas.Recorded)

    return await post(request, work, *scopes, status=CREATED)


@router.get("", responses=documented(schemas.MetricList, examples.METRICS, InvalidCursor))
async def query(request: Request, asked: Annotated[schemas.MetricFilter, Query()]) -> Response:
    """List measurements, newest first."""
    filters = asked.model_dump(exclude={"limit", "cursor"})
    call = ListCall(request, "metrics", asked.cursor, **filters)

    async def read() -> Response:
        page = await metrics_service.get_metrics(database(request), limit=asked.limit, after=call.after, **filters)
        return call.response(page, items="metrics")

    return await cached(request, caching.metrics(**asked.model_dump()), read)


@router.get("/aggregate", responses=documented(schemas.AggregateList, examples.AGGREGATE))
async def aggregate(request: Request, asked: Annotated[schemas.AggregateFilter, Query()]) -> Response:
    """Mean, least and greatest value of each hour or day (UTC), oldest first."""

    async def read() -> Response:
        found = await metrics_service.aggregate(database(request), **asked.model_dump())
        about = json.dumps(asked.model_dump(include={"service_name", "metric_type", "interval"}))[1:-1]
        return unpaged_response(found, items="buckets", extra=f",{about}".encode())

    return await cached(request, caching.aggregate(**asked.model_dump()), read)


@router.get("/services", responses=documented(schemas.ServiceList, examples.SERVICES))
async def services(request: Request, asked: Annotated[schemas.ServiceFilter, Query()]) -> Response:
    """List services whose average of a metric is above a threshold, highest first."""

    async def read() -> Response:
        found = await metrics_service.get_services_above(database(request), **asked.model_dump())
        return unpaged_response(found, items="services")

    return await cached(request, caching.services(**asked.model_dump()), read)
