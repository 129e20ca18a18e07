"""An optimisation campaign that really evaluates Branin's function with noise, and searches as the router says."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from runbooks.demo.bayesian import Point, next_point
from runbooks.demo.branin import MINIMUM, X1, X2, branin, from_unit
from runbooks.demo.client import ApiClient
from runbooks.demo.comparison import Claim, rows
from runtime.systems.ard import schemas
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, NoiseMethod, Objective

PART = "campaign"
RUNS, EXPERIMENTS = "/api/optimization_runs", "/api/experiments"
NOISE_STD = 0.3
# With these numbers a run repeats the one before, so a difference is never bad luck.
NOISE_SEED, SEARCH_SEED = 20_240_420, 840_000
PILOT_POINTS: tuple[Point, ...] = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
REPLICATES = 5
SEARCHES = 25
STEPS = len(PILOT_POINTS) * REPLICATES + SEARCHES


@dataclass
class Campaign:
    """A run in the API, and all that was measured for it, in order."""

    client: ApiClient
    run: str
    advance: Callable[[], None]
    noise: random.Random = field(default_factory=lambda: random.Random(NOISE_SEED))  # noqa: S311  # noise, no secret
    ids: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def measure(self, point: Point) -> float:
        """Carry out one experiment, which the API sees planned, begun and completed."""
        x1, x2 = from_unit(*point)
        ident = f"{self.run}-{len(self.ids):03}"
        parameters = {"x1": x1, "x2": x2}
        self.client.post(
            schemas.Experiment, EXPERIMENTS, {"id": ident, "optimization_run_id": self.run, "parameters": parameters}
        )
        self._change(ident, status=ExperimentStatus.RUNNING)
        value = branin(x1, x2) + self.noise.gauss(0.0, NOISE_STD)
        self._change(ident, status=ExperimentStatus.COMPLETED, result_value=value)
        self.ids.append(ident)
        self.points.append(point)
        self.values.append(value)
        self.advance()
        return value

    def _change(self, ident: str, **changes: Any) -> None:
        self.client.patch(schemas.Experiment, f"{EXPERIMENTS}/{ident}", changes)


def compare_campaign(client: ApiClient, run: str, *, advance: Callable[[], None]) -> tuple[list[Claim], str]:
    """Pilot, noise estimate, routing decision, search; then compare what the API made of it with our own sums.

    Args:
        client: of the API.
        run: the id of the run; new.
        advance: called for each experiment.

    Returns:
        The claims, and a line on what the search found.
    """
    _begin(client, run)
    campaign = Campaign(client, run, advance)
    replicates = [[campaign.measure(point) for _ in range(REPLICATES)] for point in PILOT_POINTS]
    estimate = client.post(
        schemas.NoiseEstimate,
        "/api/noise_estimates",
        {
            "optimization_run_id": run,
            "pilot": {"method": NoiseMethod.REPLICATE_POOLED, "pilot_data": {"replicates": replicates}},
        },
    )
    decision = client.post(schemas.RoutingDecision, "/api/routing_decisions", {"noise_estimate_id": estimate.id})
    _search(campaign, noise_std=estimate.noise_std)
    ended = client.patch(schemas.Run, f"{RUNS}/{run}", {"status": ExperimentStatus.COMPLETED})
    claims = [*_compare_advice(replicates, estimate, decision), *_compare_results(campaign, ended)]
    return claims, _finding(campaign)


def _begin(client: ApiClient, run: str) -> None:
    body = {
        "id": run,
        "name": "Branin with noise",
        "method": Method.ADAPTIVE_ROUTER,
        "objective": Objective.MINIMIZE,
        "search_space": {name: {"min": low, "max": high} for name, (low, high) in {"x1": X1, "x2": X2}.items()},
        "config": {
            "noise_std": NOISE_STD,
            "pilot": f"{len(PILOT_POINTS)} points, {REPLICATES} replicates each",
            "search": "Gaussian process of fixed width, expected improvement",
        },
    }
    client.post(schemas.Run, RUNS, body)
    client.patch(schemas.Run, f"{RUNS}/{run}", {"status": ExperimentStatus.RUNNING})


def _search(campaign: Campaign, *, noise_std: float) -> None:
    """Bayesian optimisation, which is what the router chooses at this noise; a claim holds it to that."""
    chance = random.Random(SEARCH_SEED)  # noqa: S311  # a search, no secret
    for _ in range(SEARCHES):
        campaign.measure(next_point(campaign.points, campaign.values, noise_std=noise_std, chance=chance))


def _compare_advice(
    replicates: list[list[float]], estimate: schemas.NoiseEstimate, decision: schemas.RoutingDecision
) -> list[Claim]:
    low, high = estimate.confidence_interval_lower, estimate.confidence_interval_upper
    return [
        Claim(PART, "noise σ of the pilot", pooled_std(replicates), estimate.noise_std),
        Claim(
            PART, f"95% interval, {low:.3f} to {high:.3f}, has the true σ, {NOISE_STD}", True, low <= NOISE_STD <= high
        ),
        Claim(
            PART,
            "method for this noise, and its confidence",
            {"method": Method.BAYESIAN_OPTIMIZATION.value, "confidence": 0.9},
            {"method": decision.selected_method.value, "confidence": decision.confidence},
        ),
    ]


def _compare_results(campaign: Campaign, ended: schemas.Run) -> list[Claim]:
    pages = campaign.client.pages(
        schemas.ExperimentList, EXPERIMENTS, optimization_run_id=campaign.run, status=ExperimentStatus.COMPLETED
    )
    listed = [experiment for page in pages for experiment in page.experiments]
    best = campaign.values.index(min(campaign.values))
    return [
        Claim(
            PART,
            "the run",
            {
                "status": "completed",
                "experiments": len(campaign.ids),
                "best value": campaign.values[best],
                "best experiment": campaign.ids[best],
            },
            {
                "status": ended.status.value,
                "experiments": ended.num_experiments,
                "best value": ended.best_value,
                "best experiment": ended.best_experiment_id,
            },
        ),
        rows(
            PART,
            "experiments with parameters and result",
            [
                (ident, from_unit(*point), value)
                for ident, point, value in zip(campaign.ids, campaign.points, campaign.values, strict=True)
            ],
            [(row.id, (row.parameters.get("x1"), row.parameters.get("x2")), row.result_value) for row in listed],
        ),
    ]


def pooled_std(groups: list[list[float]]) -> float:
    """The standard deviation within groups of measurements, each around its own mean."""
    means = [fmean(group) for group in groups]
    squares = sum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    return float((squares / sum(len(group) - 1 for group in groups)) ** 0.5)


def _finding(campaign: Campaign) -> str:
    best = campaign.values.index(min(campaign.values))
    x1, x2 = from_unit(*campaign.points[best])
    return (
        f"The campaign's best experiment is at ({x1:.3f}, {x2:.3f}), where Branin's function is {branin(x1, x2):.3f} "
        f"without noise; its least value is {MINIMUM}."
    )
