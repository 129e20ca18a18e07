"""utxoIQ's API: three groups of routes at the paths of its source."""

from fastapi import APIRouter

from runtime.systems.utxoiq import backfill_routes, feedback_routes, metrics_routes

router = APIRouter()
for group in (backfill_routes, feedback_routes, metrics_routes):
    router.routes.extend(group.router.routes)
