"""Bayesian optimisation, as small as it can be and still be it: a Gaussian process and expected improvement.

The kernel is a Gaussian of fixed width on the unit square; the noise is the one that was measured. See C. E. Rasmussen,
C. K. I. Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1.
"""

import math
import random
from collections.abc import Sequence
from statistics import NormalDist, fmean, pstdev

# In the unit of the square's side.
KERNEL_WIDTH = 0.25
NEARBY = 0.03
# Points that are looked at for each that is chosen: anywhere, and near the best so far.
ANYWHERE = 120
AROUND = 40
# Keeps the matrix positive definite where points coincide and the noise is small.
JITTER = 1e-9

Point = tuple[float, float]


class GaussianProcess:
    """What noisy values at some points say of all others.

    Args:
        points: in the unit square.
        values: one a point, with noise.
        noise_std: σ of the noise, in the unit of the values.
    """

    def __init__(self, points: Sequence[Point], values: Sequence[float], *, noise_std: float) -> None:
        self._points = points
        self._mean, self._scale = fmean(values), pstdev(values) or 1.0
        variance = (noise_std / self._scale) ** 2 + JITTER
        covariance = [[_kernel(p, q) for q in points[: row + 1]] for row, p in enumerate(points)]
        for row, line in enumerate(covariance):
            line[row] += variance
        self._lower = _cholesky(covariance)
        self._whitened = _solve_lower(self._lower, [(value - self._mean) / self._scale for value in values])

    def predict(self, point: Point) -> tuple[float, float]:
        """The expected value at a point, and its standard deviation."""
        known = _solve_lower(self._lower, [_kernel(point, other) for other in self._points])
        variance = max(1.0 - _dot(known, known), 0.0)
        return self._mean + self._scale * _dot(known, self._whitened), self._scale * math.sqrt(variance)


def next_point(points: Sequence[Point], values: Sequence[float], *, noise_std: float, chance: random.Random) -> Point:
    """The point from which the greatest improvement on the least value is expected."""
    process = GaussianProcess(points, values, noise_std=noise_std)
    expected = {point: process.predict(point)[0] for point in points}
    best = min(expected, key=expected.__getitem__)
    candidates = [(chance.random(), chance.random()) for _ in range(ANYWHERE)]
    candidates += [(_near(best[0], chance), _near(best[1], chance)) for _ in range(AROUND)]
    return max(candidates, key=lambda point: _improvement(*process.predict(point), least=expected[best]))


def _improvement(mean: float, std: float, *, least: float) -> float:
    """How far below the least value a normally distributed one is expected to be, counting those above as zero."""
    if not std:
        return max(least - mean, 0.0)
    z, normal = (least - mean) / std, NormalDist()
    return (least - mean) * normal.cdf(z) + std * normal.pdf(z)


def _near(coordinate: float, chance: random.Random) -> float:
    return min(max(chance.gauss(coordinate, NEARBY), 0.0), 1.0)


def _kernel(p: Point, q: Point) -> float:
    return math.exp(-((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2) / (2 * KERNEL_WIDTH**2))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    # The shorter one decides: a row of a triangle is used as far as it is solved.
    return sum(x * y for x, y in zip(a, b, strict=False))


def _cholesky(lower: Sequence[Sequence[float]]) -> list[list[float]]:
    """The lower triangular root of a positive definite matrix, of which the lower triangle is given."""
    root: list[list[float]] = []
    for line in lower:
        row = _solve_lower(root, line[:-1])
        row.append(math.sqrt(line[-1] - _dot(row, row)))
        root.append(row)
    return root


def _solve_lower(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The x in L x = b."""
    solution: list[float] = []
    for row, value in zip(lower, right, strict=True):
        solution.append((value - _dot(row, solution)) / row[-1])
    return solution
