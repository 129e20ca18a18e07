"""Alerts made real: the runtime writes, and the alert's own filter and aggregations read."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.observability import cloud_monitoring, published
from runtime.observability.place import Place
from runtime.observability.published import Metric, Reading, reading
from tests.contract.plans import planned
from tests.contract.reading import POLICY, thresholds
from tests.runtime.observability.clouds import Monitoring, monitoring, reader

HOUR, DAY = 3600, 86400


def of_prod(name: str) -> dict[str, Any]:
    (one,) = [one for one in planned("prod", resolve=True).of_type(POLICY) if one.name == f"holdfast-{name}"]
    return one.inputs


Values = list[Reading]


def steady(metric: Metric, value: float, **labels: str) -> list[Values]:
    return [[reading(metric, value, **labels)]] * 2


def counts(*pairs: tuple[int, int]) -> list[Values]:
    return [[reading(published.QUERY_COUNT, calls), reading(published.QUERY_SLOW_COUNT, slow)] for calls, slow in pairs]


# By alert: points, of two moments within its window, that are healthy, and that are not.
CASES: dict[str, tuple[list[Values], list[Values]]] = {
    "pool": (steady(published.POOL_UTILIZATION, 0.9), steady(published.POOL_UTILIZATION, 0.95)),
    "query-p95": (steady(published.QUERY_P95, 180), steady(published.QUERY_P95, 220)),
    "slow-queries": (counts((100, 0), (200, 5)), counts((100, 0), (200, 6))),
    "cache-hits": (steady(published.CACHE_HIT_RATIO, 0.93), steady(published.CACHE_HIT_RATIO, 0.85)),
    "backup-stale": (steady(published.BACKUP_AGE, 28 * HOUR), steady(published.BACKUP_AGE, 28 * HOUR + 1)),
    "verification-stale": (
        [[reading(published.VERIFICATION_AGE, 7 * DAY), reading(published.VERIFICATION_PASSED, value=True)]] * 2,
        [[reading(published.VERIFICATION_AGE, 0), reading(published.VERIFICATION_PASSED, value=False)]] * 2,
    ),
    "secret-overdue": (
        steady(published.SECRET_OVERDUE, 0, secret="a"),
        steady(published.SECRET_OVERDUE, 8 * DAY, secret="a"),
    ),
    "partitions-missing": (
        steady(published.PARTITIONS_MONTHS_AHEAD, 2),
        steady(published.PARTITIONS_MONTHS_AHEAD, 1),
    ),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    with monitoring(tmp_path_factory.mktemp("cloud")) as served:
        yield served


def test_each_alert_on_what_the_runtime_publishes_is_tried() -> None:
    custom = {
        one.name
        for one, condition in thresholds(planned("prod", resolve=True).resources)
        if "custom.googleapis" in condition["filter"]
    }
    assert custom == {f"holdfast-{name}" for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_on_what_the_runtime_writes_and_not_before(name: str, cloud: Monitoring) -> None:
    fired = []
    for state, points in zip(("healthy", "ill"), CASES[name], strict=True):
        place = Place(f"{name}-{state}", "us-central1", "holdfast-api", "api", "one", cloud.endpoint)
        now = time.time()
        for age, values in zip((40, 10), points, strict=True):
            cloud_monitoring.write(place, values, began_at=now - 60, at=now - age, seconds=10)
        fired.append(fires(of_prod(name), place, now))
    assert fired == [False, True]


@pytest.mark.parametrize(
    ("name", "metric", "well", "ill"),
    [("pool", published.POOL_UTILIZATION, 0.1, 0.95), ("query-p95", published.QUERY_P95, 10, 220)],
)
def test_one_instance_of_several_is_enough(
    name: str, metric: Metric, well: float, ill: float, cloud: Monitoring
) -> None:
    now = time.time()
    for task, value in (("a", well), ("b", ill)):
        place = Place(f"{name}-several", "us-central1", "holdfast-api", "api", task, cloud.endpoint)
        cloud_monitoring.write(place, [reading(metric, value)], began_at=now - 60, at=now - 10, seconds=10)
    assert fires(of_prod(name), place, now)


def test_an_alert_whose_filter_is_wrong_stays_silent(cloud: Monitoring) -> None:
    policy = json.loads(json.dumps(of_prod("pool")).replace("generic_task", "global"))
    place = Place("wrong-filter", "us-central1", "holdfast-api", "api", "one", cloud.endpoint)
    now = time.time()
    for age, values in zip((40, 10), CASES["pool"][1], strict=True):
        cloud_monitoring.write(place, values, began_at=now - 60, at=now - age, seconds=10)
    assert not fires(policy, place, now)


def fires(policy: dict[str, Any], place: Place, now: float) -> bool:
    """Whether any of a policy's conditions is met: its own filter, and its aggregations by hand."""
    assert policy["combiner"] == "OR"
    return any(_is_met(one["conditionThreshold"], place, now) for one in policy["conditions"])


def _is_met(condition: dict[str, Any], place: Place, now: float) -> bool:
    value = _value(condition["filter"], condition["aggregations"][0], place, now)
    if "denominatorFilter" in condition:
        of = _value(condition["denominatorFilter"], condition["denominatorAggregations"][0], place, now)
        value = value / of if value is not None and of else None
    if value is None:
        return False
    limit: float = condition["thresholdValue"]
    return value > limit if condition["comparison"] == "COMPARISON_GT" else value < limit


def _value(text: str, aggregation: dict[str, Any], place: Place, now: float) -> float | None:
    window = float(aggregation["alignmentPeriod"].removesuffix("s"))
    request = {
        "name": f"projects/{place.project}",
        "filter": text,
        "interval": {"start_time": {"seconds": int(now - window)}, "end_time": {"seconds": int(now + 1)}},
    }
    with reader(place.endpoint or "") as client:
        found = list(client.list_time_series(request=request))
    aligned = [
        ALIGNERS[aggregation["perSeriesAligner"]](
            [getattr(point.value, point.value._pb.WhichOneof("value")) for point in reversed(series.points)]
        )
        for series in found
    ]
    return REDUCERS[aggregation["crossSeriesReducer"]](aligned) if aligned else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


ALIGNERS: dict[str, Any] = {
    "ALIGN_DELTA": lambda values: values[-1] - values[0],
    "ALIGN_MAX": max,
    "ALIGN_MEAN": _mean,
    "ALIGN_MIN": min,
    "ALIGN_NEXT_OLDER": lambda values: values[-1],
}
REDUCERS: dict[str, Any] = {
    "REDUCE_COUNT_FALSE": lambda values: sum(not value for value in values),
    "REDUCE_MAX": max,
    "REDUCE_MEAN": _mean,
    "REDUCE_MIN": min,
    "REDUCE_SUM": sum,
}
