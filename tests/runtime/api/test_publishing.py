"""POST publish-metrics: what the Scheduler's call writes, and how it fails."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.observability.published import CATALOGUE, POOL_UTILIZATION, QUERY_COUNT
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_documented, assert_problem, document_of
from tests.runtime.api.test_observability import serving
from tests.runtime.api.test_served import Served
from tests.runtime.api.world import DATABASE, EXPERIMENTS
from tests.runtime.observability.clouds import PROJECT, Monitoring, monitoring

PUBLISH = f"{DATABASE}/publish-metrics"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Monitoring]:
    with monitoring(tmp_path) as made:
        yield made


def told_of(cloud: Monitoring) -> dict[str, str]:
    """The settings of an API that publishes there."""
    return {"google_cloud_project": PROJECT, "cloud_monitoring_endpoint": cloud.endpoint}


async def test_without_a_project_nothing_is_written_and_the_answer_says_which_setting(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(PUBLISH)
    assert (
        "GOOGLE_CLOUD_PROJECT" in assert_problem(answer, 409, "not-configured", document=document_of(client))["detail"]
    )


async def test_it_needs_a_credential_that_may_write_the_platform(
    make_client: Callable[..., httpx.AsyncClient], make_key: Callable[..., str]
) -> None:
    refused = await make_client(make_key("platform:read")).post(PUBLISH)
    assert "platform:write" in assert_problem(refused, 403, "forbidden")["detail"]


async def test_the_answer_is_what_was_written_and_a_second_call_at_once_writes_nothing(
    database: TestDatabase, make_key: Callable[..., str], cloud: Monitoring
) -> None:
    async with serving(database, make_key("platform:write", "ard:read"), **told_of(cloud)) as client:
        document = document_of(client)
        await client.get(EXPERIMENTS)
        answer = await client.post(PUBLISH)
        assert answer.status_code == 200, answer.text
        assert_documented(answer, document["paths"][PUBLISH]["post"], document)
        body = answer.json()
        assert (body["is_new"], body["count"]) == (True, len(body["series"]))
        assert {one["metric_type"]: one["value"] for one in body["series"]} == {
            metric_type: cloud.points(metric_type)[-1][1] for metric_type in cloud.types()
        }
        assert all(one["unit"] == CATALOGUE[one["metric_type"]].unit for one in body["series"])
        (series,) = cloud.series(QUERY_COUNT.type)
        assert dict(series.resource.labels) == body["resource"]
        assert (body["resource"]["job"], body["resource"]["location"]) == ("api", "global")

        again = (await client.post(PUBLISH)).json()
        assert again == {**body, "is_new": False}
        assert len(cloud.points(POOL_UTILIZATION.type)) == 1


async def test_a_monitoring_that_is_broken_is_a_503_and_the_next_call_is_well(
    database: TestDatabase, make_key: Callable[..., str], cloud: Monitoring
) -> None:
    async with serving(database, make_key(), **told_of(cloud)) as client:
        cloud.fault("503")
        answer = await client.post(PUBLISH)
        body = assert_problem(answer, 503, "unavailable", document=document_of(client))
        assert "Cloud Monitoring (ServiceUnavailable)" in body["detail"]
        assert int(answer.headers["retry-after"]) > 0
        cloud.mend()
        assert (await client.post(PUBLISH)).json()["is_new"] is True


async def test_others_are_answered_while_monitoring_is_slow(
    database: TestDatabase, make_key: Callable[..., str], cloud: Monitoring
) -> None:
    cloud.fault("slow=1.5")
    async with serving(database, make_key(), **told_of(cloud)) as client:
        publishing = asyncio.create_task(client.post(PUBLISH))
        answered = 0
        while not publishing.done():
            assert (await client.get(EXPERIMENTS)).status_code == 200
            answered += 1
        assert (await publishing).status_code == 200
        assert answered > 5


async def test_the_workers_of_an_instance_publish_as_one(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path, cloud: Monitoring
) -> None:
    environment = {name.upper(): value for name, value in told_of(cloud).items()}
    settings = {"MAX_WORKERS": "2", "DB_POOL_MIN": "2", "DB_POOL_MAX": "8", "TMPDIR": str(tmp_path)}
    server, key = Served(database, tmp_path, **settings, **environment), make_key()
    try:
        server.wait()
        answers = await asyncio.gather(*(post(server.url, key) for _ in range(12)))
        assert server.stop() == 0
    finally:
        server.kill()
    assert [answer["is_new"] for answer in answers].count(True) == 1
    assert len({answer["resource"]["task_id"] for answer in answers}) == 1
    assert len(cloud.points(POOL_UTILIZATION.type)) == 1


async def post(url: str, key: str) -> dict[str, Any]:
    # A connection of its own, which any worker may take.
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=20) as client:
        answer = (await client.post(PUBLISH)).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
