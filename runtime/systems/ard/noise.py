"""Noise estimators: the standard deviation of a measurement, from pilot data, with a 95% interval.

Each sums squares over a number of degrees of freedom ν; for normal noise ν s²/σ² follows χ² with ν degrees, which
gives the interval [s √(ν/χ²(0.975)), s √(ν/χ²(0.025))].
"""

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath

from runtime.systems.ard.vocabulary import NoiseMethod

# From five degrees of freedom on, the interval spans less than a factor of four.
RELIABLE_DEGREES = 5
LOWER, UPPER = 0.025, 0.975
# From here on the approximation of Wilson and Hilferty is exact to 4 parts in 10⁹, and the series gets slow.
MANY_DEGREES = 50_000


class PilotDataError(ValueError):
    """The pilot data do not suit the estimator. The message begins with the field."""


@dataclass(frozen=True)
class Estimate:
    """Noise σ, in the unit of the measurement, with its 95% interval."""

    noise_std: float
    lower: float
    upper: float
    sample_size: int
    reliable: bool


def replicate_pooled(pilot: Mapping[str, Any]) -> Estimate:
    """Pooled standard deviation over groups of repeated measurements: √(Σ(yᵢⱼ − ȳⱼ)² / Σ(nⱼ − 1)).

    Args:
        pilot: `replicates`, a list of groups; each a list of measurements at one setting.
    """
    groups = pilot["replicates"]
    repeated = [group for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in repeated)
    if not degrees:
        message = "pilot_data.replicates: needs a group with at least two measurements"
        raise PilotDataError(message)
    squares = math.fsum(
        (y - mean) ** 2 for group in repeated for mean in [math.fsum(group) / len(group)] for y in group
    )
    return _estimate(squares, degrees, sample_size=sum(map(len, groups)))


def residuals(pilot: Mapping[str, Any]) -> Estimate:
    """Standard deviation of the residuals of a least-squares polynomial: √(RSS / (n − p)), p coefficients.

    Args:
        pilot: `x` and `y` of equal length, and the polynomial's `degree` (2 unless given).
    """
    x, y, degree = pilot["x"], pilot["y"], pilot.get("degree", 2)
    if len(x) != len(y):
        message = f"pilot_data.x: has {len(x)} values and y has {len(y)}; they pair up"
        raise PilotDataError(message)
    if len(set(x)) <= degree:
        message = f"pilot_data.x: needs more than {degree} different values for a polynomial of degree {degree}"
        raise PilotDataError(message)
    degrees = len(y) - degree - 1
    if degrees < 1:
        message = f"pilot_data.y: needs at least {degree + 2} values for a polynomial of degree {degree}"
        raise PilotDataError(message)
    # On [-1, 1] the powers stay comparable, whatever the unit of x. A constant does not need x to differ.
    low, high = min(x), max(x)
    width = high - low or 1.0
    scaled = [(2 * (value - low) / width) - 1 for value in x]
    powers = mpmath.matrix([[value**power for power in range(degree + 1)] for value in scaled])
    try:
        _coefficients, norm = mpmath.qr_solve(powers, mpmath.matrix(y))
    except ValueError:
        message = f"pilot_data.x: some values are too close together, or too far apart, for degree {degree}"
        raise PilotDataError(message) from None
    return _estimate(float(norm) ** 2, degrees, sample_size=len(y))


def sequential(pilot: Mapping[str, Any]) -> Estimate:
    """First differences over √2, blind to a slow drift: √(Σ(yᵢ₊₁ − yᵢ)² / (2(n − 1))).

    The differences overlap, so the effective degrees of freedom are 2(n − 1)²/(3n − 4) (von Neumann, Ann. Math.
    Statist. 12, 367 (1941): the variance of the mean square successive difference).

    Args:
        pilot: `y`, in the order of measurement.
    """
    y: Sequence[float] = pilot["y"]
    steps = len(y) - 1
    if steps < 1:
        message = "pilot_data.y: needs at least two values, in the order of measurement"
        raise PilotDataError(message)
    squares = math.fsum((after - before) ** 2 for before, after in itertools.pairwise(y)) / 2
    degrees = 2 * steps**2 / (3 * len(y) - 4)
    return _estimate(squares * degrees / steps, degrees, sample_size=len(y))


ESTIMATORS: Mapping[NoiseMethod, Callable[[Mapping[str, Any]], Estimate]] = {
    NoiseMethod.REPLICATE_POOLED: replicate_pooled,
    NoiseMethod.RESIDUALS: residuals,
    NoiseMethod.SEQUENTIAL: sequential,
}


def estimate(method: NoiseMethod, pilot: Mapping[str, Any]) -> Estimate:
    """Estimate the noise by a method.

    Raises:
        PilotDataError: the data do not suit the method, or are too large to be squared.
    """
    try:
        return ESTIMATORS[method](pilot)
    except OverflowError:
        message = "pilot_data: the values are too large to be squared"
        raise PilotDataError(message) from None


def _estimate(squares: float, degrees: float, *, sample_size: int) -> Estimate:
    if not math.isfinite(squares):
        raise OverflowError
    std = math.sqrt(squares / degrees)
    return Estimate(
        noise_std=std,
        lower=std * math.sqrt(degrees / chi_squared_quantile(UPPER, degrees)),
        upper=std * math.sqrt(degrees / chi_squared_quantile(LOWER, degrees)),
        sample_size=sample_size,
        reliable=degrees >= RELIABLE_DEGREES,
    )


@functools.lru_cache(maxsize=1024)
def chi_squared_quantile(probability: float, degrees: float) -> float:
    """The value below which χ² with `degrees` degrees of freedom lies with the probability."""
    if degrees >= MANY_DEGREES:
        spread = 2 / (9 * degrees)
        return float(degrees * (1 - spread + statistics.NormalDist().inv_cdf(probability) * math.sqrt(spread)) ** 3)

    def excess(value: float) -> mpmath.mpf:
        return mpmath.gammainc(degrees / 2, 0, value / 2, regularized=True) - probability

    # The distribution grows from 0 to 1, so the root lies between 0 and any value beyond it.
    high = degrees + 10 * math.sqrt(2 * degrees) + 10
    return float(mpmath.findroot(excess, (1e-12, high), solver="illinois", tol=1e-24, maxsteps=200))
