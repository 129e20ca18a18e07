"""The adaptive router, and what is stored of its decisions."""

import asyncpg
import pytest
from pydantic import TypeAdapter

from runtime.db.pool import Database
from runtime.problems import InvalidInput, NotFound
from runtime.systems.ard import router, schemas
from runtime.systems.ard.routing_service import (
    create_noise_estimate,
    create_routing_decision,
    get_noise_estimate,
    get_noise_estimates,
    get_routing_decision,
    get_routing_decisions,
)
from runtime.systems.ard.service import create_run
from runtime.systems.ard.vocabulary import Method, Objective

BO, RL = Method.BAYESIAN_OPTIMIZATION, Method.REINFORCEMENT_LEARNING
PILOT: TypeAdapter[schemas.Pilot] = TypeAdapter(schemas.Pilot)


def pilot(*y: float) -> schemas.Pilot:
    return PILOT.validate_python({"method": "sequential", "pilot_data": {"y": y}})


# Ten steps of √2 have σ = 1; the sequence is long enough to be relied on.
def zigzag(sigma: float) -> schemas.Pilot:
    return pilot(*[sigma * 2**0.5 * (place % 2) for place in range(11)])


@pytest.mark.parametrize(
    ("noise", "method", "confidence", "threshold"),
    [
        (0.0, BO, 0.9, 0.5),
        (0.4999, BO, 0.9, 0.5),
        (0.5, BO, 0.6, 1.0),
        (0.9999, BO, 0.6, 1.0),
        (1.0, RL, 0.65, 1.0),
        (1.9999, RL, 0.65, 1.0),
        (2.0, RL, 0.75, 2.0),
        (1e300, RL, 0.75, 2.0),
    ],
)
def test_the_router_decides_by_the_limits_of_the_source(
    noise: float, method: Method, confidence: float, threshold: float
) -> None:
    decision = router.decide(noise, reliable=True)
    assert (decision.selected_method, decision.confidence, decision.threshold_used) == (method, confidence, threshold)
    assert [other.method for other in decision.alternatives] == [RL if method is BO else BO]
    assert f"{noise:.4g}" in decision.reasoning


@pytest.mark.parametrize("noise", [0.0, 0.7, 5.0])
def test_an_unreliable_estimate_gives_bayesian_optimisation_with_little_confidence(noise: float) -> None:
    decision = router.decide(noise, reliable=False)
    assert (decision.selected_method, decision.confidence, decision.threshold_used) == (BO, 0.3, None)
    assert "not reliable" in decision.warnings[0]


async def test_an_estimate_is_stored_with_its_data_and_the_computed_interval(db: Database) -> None:
    given = PILOT.validate_python(
        {"method": "residuals", "pilot_data": {"x": [0, 1, 2, 3, 4], "y": [1, 3, 2, 5, 4], "degree": 1}}
    )
    made = (await db.write(lambda tx: create_noise_estimate(tx, pilot=given, estimate_id="n'1"))).read()
    stored = (await get_noise_estimate(db, "n'1")).read()
    assert stored == made
    assert stored.noise_std == pytest.approx(1.2**0.5)
    assert (stored.sample_size, stored.reliable, stored.method) == (5, False, "residuals")
    assert stored.pilot_data == {"x": [0, 1, 2, 3, 4], "y": [1, 3, 2, 5, 4], "degree": 1}


async def test_a_decision_follows_a_stored_estimate_and_its_campaign(db: Database) -> None:
    await db.write(lambda tx: create_run(tx, run_id="run", method=BO, objective=Objective.MINIMIZE))
    estimate = await db.write(
        lambda tx: create_noise_estimate(tx, pilot=zigzag(1.5), estimate_id="noise", optimization_run_id="run")
    )
    assert estimate.read().noise_std == pytest.approx(1.5)
    made = await db.write(lambda tx: create_routing_decision(tx, decision_id="d", noise_estimate_id="noise"))
    stored = (await get_routing_decision(db, "d")).read()
    assert stored == made.read()
    assert (stored.selected_method, stored.confidence, stored.threshold_used) == (RL, 0.65, 1.0)
    assert (stored.noise_estimate_id, stored.optimization_run_id) == ("noise", "run")
    assert stored.alternatives[0].method is BO
    assert stored.warnings


async def test_a_decision_by_pilot_data_stores_the_estimate_too(db: Database) -> None:
    made = (await db.write(lambda tx: create_routing_decision(tx, pilot=zigzag(0.25)))).read()
    estimate = (await get_noise_estimate(db, made.noise_estimate_id or "")).read()
    assert (made.selected_method, made.confidence) == (BO, 0.9)
    assert estimate.noise_std == pytest.approx(0.25)


async def test_three_measurements_decide_with_little_confidence(db: Database) -> None:
    made = (await db.write(lambda tx: create_routing_decision(tx, pilot=pilot(0.0, 100.0, -100.0)))).read()
    assert (made.selected_method, made.confidence, made.threshold_used) == (BO, 0.3, None)


async def test_what_is_refused_leaves_neither_estimate_nor_decision(db: Database) -> None:
    with pytest.raises(InvalidInput) as unknown:
        await db.write(lambda tx: create_routing_decision(tx, noise_estimate_id="no%such"))
    with pytest.raises(InvalidInput) as unsuitable:
        await db.write(lambda tx: create_routing_decision(tx, pilot=pilot(1e300, -1e300)))
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="optimization_run_id"):
        await db.write(lambda tx: create_routing_decision(tx, pilot=zigzag(1), optimization_run_id="no-such-run"))
    await db.write(lambda tx: create_routing_decision(tx, pilot=zigzag(1), decision_id="taken"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.write(lambda tx: create_routing_decision(tx, pilot=zigzag(2), decision_id="taken"))
    assert [error.field for error in unknown.value.errors or []] == ["noise_estimate_id"]
    assert [error.field for error in unsuitable.value.errors or []] == ["pilot.pilot_data"]
    assert (await get_noise_estimates(db)).count == 1
    assert (await get_routing_decisions(db)).count == 1


async def test_what_does_not_exist_is_named(db: Database) -> None:
    with pytest.raises(NotFound, match=r"^noise estimate 'nope' does not exist$"):
        await get_noise_estimate(db, "nope")
    with pytest.raises(NotFound, match=r"^routing decision 'nope' does not exist$"):
        await get_routing_decision(db, "nope")
