"""The adaptive router: which method suits a measurement of this noise.

Bayesian optimisation models the objective and needs little noise; reinforcement learning needs many more
experiments and bears more of it.
"""

from dataclasses import dataclass, field

from runtime.systems.ard.vocabulary import Method

LOW_NOISE = 0.5
MEDIUM_NOISE = 1.0
HIGH_NOISE = 2.0


@dataclass(frozen=True)
class Alternative:
    """A method that was not chosen."""

    method: Method
    reason: str


@dataclass(frozen=True)
class Decision:
    """The router's choice. `threshold_used` is the noise limit that decided; None where the noise is not known."""

    selected_method: Method
    confidence: float
    reasoning: str
    threshold_used: float | None
    alternatives: list[Alternative] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decide(noise_std: float, *, reliable: bool) -> Decision:
    """Choose a method.

    Args:
        noise_std: σ of the measurement, in the objective's unit.
        reliable: whether σ is known well enough to decide by it.
    """
    bayesian, learning = Method.BAYESIAN_OPTIMIZATION, Method.REINFORCEMENT_LEARNING
    if not reliable:
        return Decision(
            bayesian,
            0.3,
            f"The noise estimate σ = {noise_std:.4g} is not reliable: the method that needs fewest experiments.",
            None,
            [Alternative(learning, "would suit if the noise turns out to be 1.0 or more")],
            ["The noise estimate is not reliable: take more pilot measurements, then decide again."],
        )
    if noise_std < LOW_NOISE:
        return Decision(
            bayesian,
            0.9,
            f"Low noise: σ = {noise_std:.4g} is below {LOW_NOISE}, so a model of the objective can be trusted.",
            LOW_NOISE,
            [Alternative(learning, "needs many more experiments, for a robustness that this noise does not ask for")],
        )
    if noise_std < MEDIUM_NOISE:
        return Decision(
            bayesian,
            0.6,
            f"Medium noise: σ = {noise_std:.4g} is between {LOW_NOISE} and {MEDIUM_NOISE}.",
            MEDIUM_NOISE,
            [Alternative(learning, f"becomes the better one from σ = {MEDIUM_NOISE} on")],
            ["The noise is near the limit: measure each setting more than once."],
        )
    high = noise_std >= HIGH_NOISE
    limit = HIGH_NOISE if high else MEDIUM_NOISE
    return Decision(
        learning,
        0.75 if high else 0.65,
        f"{'Very high' if high else 'High'} noise: σ = {noise_std:.4g} is {limit} or more, "
        "so a model of the objective would follow the noise.",
        limit,
        [Alternative(bayesian, f"would suit if averaging brings σ below {MEDIUM_NOISE}")],
        ["Many experiments will be needed at this noise; averaging replicates may be cheaper."],
    )
