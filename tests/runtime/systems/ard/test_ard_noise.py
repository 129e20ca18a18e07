"""The noise estimators, against numbers worked out by hand and against properties that any estimator has."""

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.systems.ard.noise import MANY_DEGREES, PilotDataError, chi_squared_quantile, estimate
from runtime.systems.ard.vocabulary import NoiseMethod

POOLED, RESIDUALS, SEQUENTIAL = NoiseMethod.REPLICATE_POOLED, NoiseMethod.RESIDUALS, NoiseMethod.SEQUENTIAL

# From the tables that every textbook prints: degrees of freedom, 2.5% and 97.5% quantiles.
CHI_SQUARED = [
    (1, 0.000982, 5.024),
    (2, 0.0506, 7.378),
    (4, 0.4844, 11.143),
    (5, 0.831, 12.833),
    (10, 3.247, 20.483),
    (30, 16.791, 46.979),
    (100, 74.222, 129.561),
    (1000, 914.257, 1089.531),
]


@pytest.mark.parametrize(("degrees", "low", "high"), CHI_SQUARED)
def test_quantiles_are_those_of_the_tables(degrees: int, low: float, high: float) -> None:
    assert chi_squared_quantile(0.025, degrees) == pytest.approx(low, abs=6e-4 if low > 0.01 else 6e-7)
    assert chi_squared_quantile(0.975, degrees) == pytest.approx(high, abs=6e-4)


def test_quantiles_of_very_many_degrees_continue_the_others() -> None:
    for probability in (0.025, 0.975):
        below = chi_squared_quantile(probability, MANY_DEGREES - 1)
        above = chi_squared_quantile(probability, MANY_DEGREES)
        slope = chi_squared_quantile(probability, MANY_DEGREES - 2)
        assert above - below == pytest.approx(below - slope, rel=1e-3)
    assert 995_000 < chi_squared_quantile(0.025, 999_000) < 999_000 < chi_squared_quantile(0.975, 999_000) < 1_003_000


def chi_squared_probability(value: float, degrees: float) -> float:
    """The distribution by numerical integration of its density: another way than the code's."""

    def density(x: Any) -> Any:
        return x ** (degrees / 2 - 1) * mpmath.exp(-x / 2) / (2 ** (degrees / 2) * mpmath.gamma(degrees / 2))

    return float(mpmath.quad(density, [0, value / 2, value]))


def test_replicates_give_the_pooled_deviation_with_its_interval() -> None:
    found = estimate(POOLED, {"replicates": [[0.81, 0.84, 0.79], [0.9, 0.93, 0.88]]})
    assert found.noise_std == pytest.approx(0.0251661148, rel=1e-8)  # √(0.00253333 / 4)
    assert found.lower == pytest.approx(0.0150778, rel=1e-5)  # σ √(4 / 11.14329)
    assert found.upper == pytest.approx(0.0723164, rel=1e-5)  # σ √(4 / 0.484419)
    assert (found.sample_size, found.reliable) == (6, False)


def test_replicates_weigh_groups_by_their_degrees_of_freedom() -> None:
    groups = [[1.0, 3.0], [10.0, 10.5, 9.0, 8.0, 12.0], [99.0]]
    found = estimate(POOLED, {"replicates": groups})
    pooled = math.sqrt((1 * statistics.variance(groups[0]) + 4 * statistics.variance(groups[1])) / 5)
    assert found.noise_std == pytest.approx(pooled)
    assert (found.sample_size, found.reliable) == (8, True)


def test_residuals_of_a_constant_are_the_plain_deviation_even_where_x_never_changes() -> None:
    y = [1.0, 3.0, 2.5]
    assert estimate(RESIDUALS, {"x": [7.0] * 3, "y": y, "degree": 0}).noise_std == pytest.approx(statistics.stdev(y))


def test_residuals_give_the_scatter_about_the_line() -> None:
    found = estimate(RESIDUALS, {"x": [0.0, 1.0, 2.0, 3.0, 4.0], "y": [1.0, 3.0, 2.0, 5.0, 4.0], "degree": 1})
    # The line is 1.4 + 0.8 x, the residuals -0.4, 0.8, -1, 1.2, -0.6: 3.6 over 3 degrees of freedom.
    assert found.noise_std == pytest.approx(math.sqrt(1.2), rel=1e-12)
    assert found.lower == pytest.approx(math.sqrt(3.6 / 9.3484), rel=1e-4)
    assert found.upper == pytest.approx(math.sqrt(3.6 / 0.215795), rel=1e-4)
    assert (found.sample_size, found.reliable) == (5, False)


def test_residuals_about_a_constant_are_the_ordinary_standard_deviation() -> None:
    y = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    assert estimate(RESIDUALS, {"x": list(range(6)), "y": y, "degree": 0}).noise_std == pytest.approx(
        statistics.stdev(y)
    )


def test_a_parabola_is_fitted_unless_another_degree_is_given() -> None:
    x = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    y = [2 * value**2 - value + 5 for value in x]
    assert estimate(RESIDUALS, {"x": x, "y": y}).noise_std == pytest.approx(0, abs=1e-12)
    assert estimate(RESIDUALS, {"x": x, "y": y, "degree": 1}).noise_std > 1


def test_a_sequence_gives_its_first_differences() -> None:
    found = estimate(SEQUENTIAL, {"y": [1.0, 2.0, 4.0, 3.0]})
    assert found.noise_std == pytest.approx(1.0)  # √((1 + 4 + 1) / (2 x 3))
    degrees = 2.25  # 2 x 3² / (3 x 4 - 4)
    assert chi_squared_probability(degrees / found.lower**2, degrees) == pytest.approx(0.975, abs=1e-6)
    assert chi_squared_probability(degrees / found.upper**2, degrees) == pytest.approx(0.025, abs=1e-6)
    assert (found.sample_size, found.reliable) == (4, False)


def test_a_slow_drift_hardly_moves_the_sequential_estimate() -> None:
    noise = random.Random(3)  # noqa: S311  # a simulation
    y = [noise.gauss(0, 1) for _ in range(200)]
    drifting = [value + 0.01 * place for place, value in enumerate(y)]
    still, moved = (estimate(SEQUENTIAL, {"y": values}).noise_std for values in (y, drifting))
    assert moved == pytest.approx(still, rel=0.01)
    assert statistics.stdev(drifting) == pytest.approx(statistics.stdev(y), rel=0.5)


@pytest.mark.parametrize(("size", "reliable"), [(5, False), (6, True)])
def test_an_estimate_is_reliable_from_five_degrees_of_freedom_on(size: int, reliable: bool) -> None:  # noqa: FBT001
    found = estimate(POOLED, {"replicates": [[float(n) for n in range(size)]]})
    assert found.reliable is reliable
    assert (found.upper / found.lower < 4) is reliable


def test_equal_measurements_have_no_noise_and_that_is_not_an_error() -> None:
    for method, pilot in (
        (POOLED, {"replicates": [[0.0, 0.0], [5.0, 5.0]]}),
        (RESIDUALS, {"x": [0.0, 1.0, 2.0, 3.0], "y": [0.0] * 4}),
        (SEQUENTIAL, {"y": [7.0, 7.0]}),
    ):
        found = estimate(method, pilot)
        assert (found.noise_std, found.lower, found.upper) == (0, 0, 0)


def test_the_most_data_that_a_call_may_bring_are_estimated() -> None:
    found = estimate(POOLED, {"replicates": [[float(n % 7) for n in range(1000)]] * 1000})
    assert found.noise_std == pytest.approx(2.0, rel=1e-2)
    assert found.lower < found.noise_std < found.upper
    assert found.upper / found.lower < 1.01


WHOLE = st.integers(-1000, 1000).map(float)
Pilot = dict[str, Any]


@st.composite
def pilots(draw: st.DrawFn, method: NoiseMethod) -> Pilot:
    if method is POOLED:
        return {"replicates": draw(st.lists(st.lists(WHOLE, min_size=2, max_size=5), min_size=1, max_size=4))}
    y = draw(st.lists(WHOLE, min_size=5, max_size=9))
    return {"y": y} if method is SEQUENTIAL else {"x": [float(n) for n in range(len(y))], "y": y, "degree": 2}


def mapped(pilot: Pilot, change: Callable[[float], float]) -> Pilot:
    """The same pilot experiment with every measurement changed."""
    return {
        **pilot,
        **({"y": [change(y) for y in pilot["y"]]} if "y" in pilot else {}),
        **({"replicates": [[change(y) for y in g] for g in pilot["replicates"]]} if "replicates" in pilot else {}),
    }


@pytest.mark.parametrize("method", list(NoiseMethod))
@given(data=st.data(), scale=st.sampled_from([-8.0, -1.0, 0.25, 1024.0, 1e-9]), shift=WHOLE)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_the_estimate_follows_the_unit_and_ignores_the_origin(
    method: NoiseMethod, data: st.DataObject, scale: float, shift: float
) -> None:
    pilot = data.draw(pilots(method))
    found = estimate(method, pilot)
    scaled = estimate(method, mapped(pilot, lambda y: y * scale))
    shifted = estimate(method, mapped(pilot, lambda y: y + shift))
    assert 0 <= found.lower <= found.noise_std <= found.upper
    for name in ("noise_std", "lower", "upper"):
        expected = getattr(found, name)
        assert getattr(scaled, name) == pytest.approx(abs(scale) * expected, rel=1e-9, abs=abs(scale) * 1e-9)
        assert getattr(shifted, name) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert scaled.reliable == shifted.reliable == found.reliable


@given(y=st.lists(WHOLE, min_size=6, max_size=10), unit=st.sampled_from([1e-6, 1.0, 3e4]), origin=WHOLE)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_residuals_ignore_the_unit_of_x_and_any_parabola(y: list[float], unit: float, origin: float) -> None:
    x = [float(n) for n in range(len(y))]
    found = estimate(RESIDUALS, {"x": x, "y": y}).noise_std
    moved = estimate(RESIDUALS, {"x": [unit * value + origin for value in x], "y": y}).noise_std
    bent = estimate(RESIDUALS, {"x": x, "y": [value + 3 * n**2 - 4 * n for n, value in enumerate(y)]}).noise_std
    assert moved == pytest.approx(found, rel=1e-6, abs=1e-6)
    assert bent == pytest.approx(found, rel=1e-9, abs=1e-9)


def simulated(method: NoiseMethod, noise: random.Random) -> Pilot:
    """A pilot experiment with noise of σ = 2, on whatever the method is meant to see through."""
    if method is POOLED:
        return {"replicates": [[level + noise.gauss(0, 2) for _ in range(3)] for level in (0, 50, -7, 1000)]}
    y = [noise.gauss(0, 2) for _ in range(12)]
    if method is SEQUENTIAL:
        return {"y": [value + 0.02 * place for place, value in enumerate(y)]}
    return {"x": list(range(12)), "y": [value + place**2 - 9 * place for place, value in enumerate(y)]}


@pytest.mark.parametrize("method", list(NoiseMethod))
def test_the_interval_holds_the_true_noise_95_times_of_100(method: NoiseMethod) -> None:
    noise, trials = random.Random(f"noise {method}"), 400  # noqa: S311  # a simulation
    found = [estimate(method, simulated(method, noise)) for _ in range(trials)]
    covered = sum(one.lower <= 2 <= one.upper for one in found)
    # Three standard deviations of a count with p = 0.95.
    assert covered == pytest.approx(0.95 * trials, abs=3 * math.sqrt(trials * 0.95 * 0.05))
    assert statistics.fmean(one.noise_std**2 for one in found) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(
    ("method", "pilot", "message"),
    [
        (POOLED, {"replicates": [[1.0], [2.0]]}, r"^pilot_data\.replicates: .*at least two"),
        (POOLED, {"replicates": [[1e308, -1e308]]}, r"^pilot_data: .*too large"),
        (POOLED, {"replicates": [[1e308, 1e308]]}, r"^pilot_data: .*too large"),
        (RESIDUALS, {"x": [1.0, 2.0], "y": [1.0]}, r"^pilot_data\.x: has 2 values and y has 1"),
        (RESIDUALS, {"x": [1.0] * 5, "y": [1.0] * 5}, r"^pilot_data\.x: needs more than 2 different"),
        (RESIDUALS, {"x": [1.0, 2.0, 3.0], "y": [1.0] * 3}, r"^pilot_data\.y: needs at least 4"),
        (RESIDUALS, {"x": [0.0, 1e-300, 1.0, 1.0], "y": [1.0] * 4}, r"^pilot_data\.x: .*too close"),
        (RESIDUALS, {"x": [-1e308, 0.0, 1e308, 1.0], "y": [1.0] * 4, "degree": 1}, r"^pilot_data\.x: .*too far"),
        (RESIDUALS, {"x": [0.0, 1.0, 2.0, 3.0], "y": [1e308, -1e308, 1e308, 0.0]}, r"^pilot_data: .*too large"),
        (SEQUENTIAL, {"y": [1.0]}, r"^pilot_data\.y: needs at least two"),
        (SEQUENTIAL, {"y": [1e200, -1e200]}, r"^pilot_data: .*too large"),
        (SEQUENTIAL, {"y": [1.7e308, -1.7e308]}, r"^pilot_data: .*too large"),
    ],
)
def test_data_that_do_not_suit_the_method_are_refused_by_field(method: NoiseMethod, pilot: Pilot, message: str) -> None:
    with pytest.raises(PilotDataError, match=message):
        estimate(method, pilot)
