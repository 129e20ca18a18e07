"""An instance's figures in Cloud Monitoring: of the last interval, once, and never a hang."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runbooks.local.ports import HOST, free_port
from runtime.observability.cloud_monitoring import describe
from runtime.observability.histogram import Histogram
from runtime.observability.interval import counted
from runtime.observability.place import Place, PublishingError
from runtime.observability.published import (
    CACHE_HIT_RATIO,
    CATALOGUE,
    OF_AN_INSTANCE,
    POOL_UTILIZATION,
    POOL_WAITING,
    QUERY_COUNT,
    QUERY_P50,
    QUERY_P95,
    QUERY_P99,
    QUERY_SLOW_COUNT,
    QUERY_SLOW_RATIO,
)
from runtime.observability.publishing import Publication, Publisher
from runtime.observability.snapshot import Instance, Performed, PoolState, Totals, Worker
from tests.runtime.observability.clouds import PROJECT, Monitoring, reader

NOW = time.time()
NO_CACHE: Mapping[tuple[str, str], int] = {}


def place(endpoint: str) -> Place:
    return Place(PROJECT, "us-central1", "holdfast-api", "api", "an instance", endpoint)


@contextmanager
def worker(cloud: Monitoring, folder: Path | None, *, at: float = NOW, deadline: float = 10) -> Iterator[Publisher]:
    publisher = Publisher(place(cloud.endpoint), folder, clock=lambda: at, deadline=deadline)
    try:
        yield publisher
    finally:
        publisher.close()


async def publish(cloud: Monitoring, folder: Path, instance: Instance, at: float) -> tuple[Publication, bool]:
    """By a worker that has nothing in common with the others but the folder."""
    with worker(cloud, folder, at=at) as publisher:
        return await publisher.publish(instance)


def statements(*groups: tuple[int, float]) -> Histogram:
    durations = Histogram()
    for number, seconds in groups:
        for _ in range(number):
            durations.add(seconds)
    return durations


def instance(
    durations: Histogram,
    cache: Mapping[tuple[str, str], int] = NO_CACHE,
    in_use: tuple[int, ...] = (0,),
    waiting: int = 0,
) -> Instance:
    return Instance(
        Totals(
            since=NOW - 600,
            performed=[Performed("d", "SELECT", "SELECT experiments", "SELECT 1", "", durations)],
            cache=[(*key, number) for key, number in cache.items()],
        ),
        [Worker(pid, {}, PoolState(10, 1, 10, used, waiting, used, used), 0, 0.0) for pid, used in enumerate(in_use)],
    )


async def test_figures_are_those_of_the_last_interval_whichever_worker_tells_them(
    cloud: Monitoring, tmp_path: Path
) -> None:
    quick = instance(statements((1000, 0.004)), {("stats", "hit"): 90, ("stats", "miss"): 10}, in_use=(2, 9), waiting=2)
    await publish(cloud, tmp_path, quick, NOW - 60)
    later = statements((1000, 0.004), (16, 0.03), (4, 0.31))
    cache = {("stats", "hit"): 91, ("stats", "miss"): 11, ("jobs", "bypass"): 2}
    published, is_new = await publish(cloud, tmp_path, instance(later, cache), NOW)

    assert is_new
    assert published.seconds == pytest.approx(60)
    assert cloud.types() == {metric.type for metric in OF_AN_INSTANCE}
    values = {name: [value for _, value in cloud.points(name)] for name in cloud.types()}
    assert values[POOL_UTILIZATION.type] == [0.9, 0.0]
    assert values[POOL_WAITING.type] == [4, 0]
    assert values[QUERY_COUNT.type] == [1000, 1020]
    assert values[QUERY_SLOW_COUNT.type] == [0, 4]
    assert values[QUERY_SLOW_RATIO.type] == [0.0, pytest.approx(0.2)]
    assert values[CACHE_HIT_RATIO.type] == [pytest.approx(0.9), pytest.approx(0.25)]
    # In milliseconds; of all the statements since the start 95% were quick.
    for metric, then, now in ((QUERY_P50, 4, 30), (QUERY_P95, 4, 310), (QUERY_P99, 4, 310)):
        assert values[metric.type] == [pytest.approx(then, rel=0.3), pytest.approx(now, rel=0.3)], metric.name
    assert {name: value[-1] for name, value in values.items()} == {
        one.metric_type: one.value for one in published.readings
    }


async def test_a_series_is_the_instances_and_a_count_has_one_beginning(cloud: Monitoring, tmp_path: Path) -> None:
    for at in (NOW - 60, NOW):
        await publish(cloud, tmp_path, instance(statements((10, 0.004))), at)
    (series,) = cloud.series(QUERY_COUNT.type)
    assert dict(series.resource.labels) == {
        "project_id": PROJECT,
        "location": "us-central1",
        "namespace": "holdfast-api",
        "job": "api",
        "task_id": "an instance",
    }
    assert [point.interval.start_time.timestamp() for point in series.points] == [pytest.approx(NOW - 600)] * 2


async def test_what_nothing_was_measured_for_is_left_out(cloud: Monitoring, tmp_path: Path) -> None:
    published, _ = await publish(cloud, tmp_path, instance(Histogram()), NOW)
    assert {one.metric_type for one in published.readings} == {
        metric.type for metric in (POOL_UTILIZATION, POOL_WAITING, QUERY_COUNT, QUERY_SLOW_COUNT)
    }


def test_a_beginning_does_not_move_and_what_was_lost_is_no_negative_share() -> None:
    first, _ = counted(instance(statements((10, 0.004)), {("stats", "hit"): 9}), NOW - 60, None)
    later = instance(statements((107, 0.004), (3, 0.3)), {("stats", "hit"): 4, ("stats", "miss"): 10})
    # A worker's file is found again that began before the others.
    later = replace(later, totals=replace(later.totals, since=NOW - 900))
    told, readings = counted(later, NOW, first)
    assert told.began_at == first.began_at == NOW - 600
    values = {one.metric_type: one.value for one in readings}
    assert values[CACHE_HIT_RATIO.type] == 0
    assert (values[QUERY_P95.type], values[QUERY_P99.type]) == (pytest.approx(4, rel=0.3), pytest.approx(300, rel=0.3))


async def test_what_a_lost_file_takes_along_is_not_counted_backwards(cloud: Monitoring, tmp_path: Path) -> None:
    await publish(cloud, tmp_path, instance(statements((100, 0.004)), {("stats", "hit"): 9}), NOW - 60)
    await publish(cloud, tmp_path, instance(statements((5, 0.3))), NOW)
    assert [value for _, value in cloud.points(QUERY_COUNT.type)] == [100, 105]
    assert [value for _, value in cloud.points(CACHE_HIT_RATIO.type)] == [1.0]


@pytest.mark.parametrize("workers", [1, 3])
async def test_calls_at_once_write_once_and_are_answered_alike(workers: int, cloud: Monitoring, tmp_path: Path) -> None:
    with ExitStack() as stack:
        folder = tmp_path if workers > 1 else None
        publishers = [stack.enter_context(worker(cloud, folder, at=NOW + number)) for number in range(workers)] * 3
        answers = await asyncio.gather(*(one.publish(instance(statements((7, 0.004)))) for one in publishers))
    assert [is_new for _, is_new in answers].count(True) == 1
    assert len({published.counted.at for published, _ in answers}) == 1
    assert len(cloud.points(QUERY_COUNT.type)) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("503", "ServiceUnavailable"), ("403", "Forbidden|PermissionDenied"), ("429", "Exhausted"), ("500", "Internal")],
)
async def test_a_refusal_is_named_and_what_was_not_told_is_told_the_next_time(
    fault: str, reason: str, cloud: Monitoring, tmp_path: Path
) -> None:
    await publish(cloud, tmp_path, instance(statements((10, 0.004))), NOW - 120)
    cloud.fault(fault)
    with pytest.raises(PublishingError, match=f"Cloud Monitoring: \\w*({reason})"):
        await publish(cloud, tmp_path, instance(statements((10, 0.004), (5, 0.3))), NOW - 60)
    cloud.mend()
    published, _ = await publish(cloud, tmp_path, instance(statements((10, 0.004), (5, 0.3))), NOW)
    assert published.seconds == pytest.approx(120)
    assert [value for _, value in cloud.points(QUERY_SLOW_RATIO.type)] == [0.0, 1.0]


async def test_a_service_that_says_nothing_is_waited_for_until_the_deadline(cloud: Monitoring, tmp_path: Path) -> None:
    cloud.fault("slow=2")
    with worker(cloud, tmp_path, at=NOW - 60, deadline=0.4) as publisher:
        began = time.monotonic()
        # The second finds the first's thread at work.
        outcomes = await asyncio.gather(
            *(publisher.publish(instance(Histogram())) for _ in range(2)), return_exceptions=True
        )
        assert time.monotonic() - began < 1.5
    assert [type(outcome) for outcome in outcomes] == [PublishingError] * 2
    cloud.mend()
    assert (await publish(cloud, tmp_path, instance(Histogram()), NOW))[1]


async def test_a_service_that_is_not_there_fails_at_once(tmp_path: Path) -> None:
    publisher = Publisher(place(f"{HOST}:{free_port()}"), tmp_path)
    began = time.monotonic()
    with pytest.raises(PublishingError, match="ServiceUnavailable"):
        await publisher.publish(instance(Histogram()))
    assert time.monotonic() - began < 5
    publisher.close()


async def test_without_credentials_googles_own_is_not_asked(tmp_path: Path) -> None:
    publisher = Publisher(Place(PROJECT, "global", "holdfast", "api", "t", None), tmp_path)
    with pytest.raises(PublishingError, match="DefaultCredentialsError"):
        await publisher.publish(instance(Histogram()))
    publisher.close()


async def test_a_memory_that_is_garbage_is_forgotten_and_one_that_cannot_be_written_is_told(
    cloud: Monitoring, tmp_path: Path
) -> None:
    (tmp_path / "published.json").write_bytes(b'{"counted": "\xff')
    assert (await publish(cloud, tmp_path, instance(Histogram()), NOW))[1]
    with pytest.raises(PublishingError, match="Unremembered"):
        await publish(cloud, tmp_path / "gone", instance(Histogram()), NOW)


async def test_a_metric_whose_points_came_first_is_described_afterwards_and_once(
    cloud: Monitoring, tmp_path: Path
) -> None:
    await publish(cloud, tmp_path, instance(statements((7, 0.004))), NOW - 60)
    with reader(cloud.endpoint) as client:
        name = f"projects/{PROJECT}/metricDescriptors/{QUERY_P95.type}"
        assert client.get_metric_descriptor(name=name).unit == ""
        for made in (len(CATALOGUE), 0):
            assert len(describe(place(cloud.endpoint), CATALOGUE.values(), seconds=10)) == made
        assert client.get_metric_descriptor(name=name).unit == "ms"
    assert (await publish(cloud, tmp_path, instance(statements((7, 0.004))), NOW))[1]


def test_the_catalogue_describes_every_metric_once() -> None:
    assert len({metric.name for metric in CATALOGUE.values()}) == len(CATALOGUE) == 14
    for metric in CATALOGUE.values():
        assert metric.description.endswith("."), metric.name
