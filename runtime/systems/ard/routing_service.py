"""ARD's noise estimates and routing decisions: both are computed here, from pilot data."""

import asyncio
from dataclasses import asdict
from typing import Any

from sqlalchemy import bindparam, select

from runtime.db.documents import Document, find
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import Query, json_object
from runtime.db.writes import Writes
from runtime.problems import InvalidInput
from runtime.systems.ard import noise, router, schemas, views
from runtime.systems.ard.models import NoiseEstimate, RoutingDecision
from runtime.systems.ard.vocabulary import NoiseMethod

_ESTIMATE_WRITES = Writes(NoiseEstimate, views.NOISE_ESTIMATE)
_DECISION_WRITES = Writes(RoutingDecision, views.ROUTING_DECISION)
_ESTIMATE = Query(
    select(json_object(views.NOISE_ESTIMATE)).where(NoiseEstimate.id == bindparam("key", type_=NoiseEstimate.id.type))
)
_DECISION = Query(
    select(json_object(views.ROUTING_DECISION)).where(
        RoutingDecision.id == bindparam("key", type_=RoutingDecision.id.type)
    )
)


async def create_noise_estimate(
    tx: Transaction,
    *,
    pilot: schemas.Pilot,
    estimate_id: str | None = None,
    optimization_run_id: str | None = None,
) -> Document[schemas.NoiseEstimate]:
    """Compute an estimate from pilot data and store both.

    Raises:
        InvalidInput: the data do not suit the method.
    """
    method = NoiseMethod(pilot.method)
    data = pilot.pilot_data.model_dump()
    try:
        # A long polynomial takes a while, during which other requests are answered.
        found = await asyncio.to_thread(noise.estimate, method, data)
    except noise.PilotDataError as error:
        field, _, message = str(error).partition(": ")
        raise InvalidInput.of(field=f"pilot.{field}", message=message) from None
    values: dict[str, Any] = {
        "method": method,
        "noise_std": found.noise_std,
        "confidence_interval_lower": found.lower,
        "confidence_interval_upper": found.upper,
        "sample_size": found.sample_size,
        "reliable": found.reliable,
        "pilot_data": data,
        "optimization_run_id": optimization_run_id,
    }
    return Document(await _insert(tx, _ESTIMATE_WRITES, estimate_id, values), schemas.NoiseEstimate)


async def create_routing_decision(
    tx: Transaction,
    *,
    decision_id: str | None = None,
    noise_estimate_id: str | None = None,
    pilot: schemas.Pilot | None = None,
    optimization_run_id: str | None = None,
) -> Document[schemas.RoutingDecision]:
    """Decide by a stored estimate, or by one that is made of the pilot data and stored too.

    Raises:
        InvalidInput: the estimate does not exist, or the data do not suit the method.
    """
    if pilot is not None:
        estimate = (await create_noise_estimate(tx, pilot=pilot, optimization_run_id=optimization_run_id)).read()
    else:
        stored: bytes | None = await tx.value(_ESTIMATE, key=noise_estimate_id)
        if stored is None:
            raise InvalidInput.of(field="noise_estimate_id", message="refers to something that does not exist")
        estimate = schemas.NoiseEstimate.model_validate_json(stored)
    decision = router.decide(estimate.noise_std, reliable=estimate.reliable)
    values = {
        **asdict(decision),
        "noise_estimate_id": estimate.id,
        "optimization_run_id": optimization_run_id or estimate.optimization_run_id,
    }
    return Document(await _insert(tx, _DECISION_WRITES, decision_id, values), schemas.RoutingDecision)


async def _insert(tx: Transaction, writes: Writes, ident: str | None, values: dict[str, Any]) -> bytes:
    if ident is not None:
        values = {**values, "id": ident}
    row: bytes = await tx.value(writes.insert(frozenset(values)), **values)
    return row


async def get_noise_estimate(db: Executor, estimate_id: str) -> Document[schemas.NoiseEstimate]:
    """One estimate.

    Raises:
        NotFound: there is no such estimate.
    """
    return await find(db, _ESTIMATE, schemas.NoiseEstimate, name="noise estimate", key=estimate_id)


async def get_routing_decision(db: Executor, decision_id: str) -> Document[schemas.RoutingDecision]:
    """One decision.

    Raises:
        NotFound: there is no such decision.
    """
    return await find(db, _DECISION, schemas.RoutingDecision, name="routing decision", key=decision_id)


async def get_noise_estimates(
    db: Executor, *, limit: int = 100, after: Key | None = None, **filters: Any
) -> Page[schemas.NoiseEstimate]:
    """A page of estimates, newest first; filters: method, optimization_run_id."""
    return await views.NOISE_ESTIMATES.page(db, limit=limit, after=after, **filters)


async def get_routing_decisions(
    db: Executor, *, limit: int = 100, after: Key | None = None, **filters: Any
) -> Page[schemas.RoutingDecision]:
    """A page of decisions, newest first; filters: selected_method, optimization_run_id, noise_estimate_id."""
    return await views.ROUTING_DECISIONS.page(db, limit=limit, after=after, **filters)
