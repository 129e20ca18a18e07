"""Branin's function, a standard test of optimisers: smooth, in two variables, with three equal minima.

A. I. Forrester, A. Sobester, A. Keane, Engineering Design via Surrogate Modelling (2008), in the standard form.
"""

import math

# The usual domain of each variable.
X1 = (-5.0, 10.0)
X2 = (0.0, 15.0)
MINIMUM = 0.397887
MINIMA = ((-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475))


def branin(x1: float, x2: float) -> float:
    """The value a (x₂ − b x₁² + c x₁ − r)² + s (1 − t) cos x₁ + s, with a = 1 and the recommended constants."""
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    r, s = 6.0, 10.0
    return (x2 - b * x1**2 + c * x1 - r) ** 2 + s * (1 - t) * math.cos(x1) + s


def from_unit(u1: float, u2: float) -> tuple[float, float]:
    """A point of the domain from one of the unit square."""
    return X1[0] + u1 * (X1[1] - X1[0]), X2[0] + u2 * (X2[1] - X2[0])
