"""Pages of other sites: none may call the API from a browser, unless it is set."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from runtime.api.app import create_app
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.world import EXPERIMENTS

SITE, OTHER = "https://app.example", "https://app.example.evil"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-api-key,content-type,idempotency-key,if-match",
}


@asynccontextmanager
async def serving(database: TestDatabase, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(database.settings(db_pool_min=1, **settings))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://holdfast.test") as client:
            yield client


def allowed(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def test_without_the_setting_no_answer_lets_a_page_in(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    async with serving(database) as client:
        key = {"X-API-Key": make_key()}
        for site in (SITE, "null", "http://holdfast.test"):
            origin = {"Origin": site}
            answers = [
                await client.get(EXPERIMENTS, headers={**origin, **key}),
                await client.get(EXPERIMENTS, headers=origin),
                await client.post(EXPERIMENTS, json={"colour": "red"}, headers={**origin, **key}),
                await client.get("/health/live", headers=origin),
                await client.get("/openapi.json", headers=origin),
            ]
            assert [answer.status_code for answer in answers] == [200, 401, 422, 200, 200]
            asked = await client.options(EXPERIMENTS, headers={**origin, **PREFLIGHT})
            assert_problem(asked, 405, "method-not-allowed")
            nowhere = await client.options("/nowhere", headers={**origin, **PREFLIGHT})
            assert_problem(nowhere, 404, "not-found")
            assert [allowed(answer) for answer in (*answers, asked, nowhere)] == [{}] * 7


async def test_a_site_that_is_named_may_call_and_read_the_answer_and_no_other(
    database: TestDatabase, make_key: Callable[..., str]
) -> None:
    settings = {"cors_origins": (SITE, "http://localhost:3000"), "rate_limit": 2}
    async with serving(database, **settings) as client:
        asked = await client.options(EXPERIMENTS, headers={"Origin": SITE, **PREFLIGHT})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == SITE
        assert {"GET", "POST", "PATCH"} <= set(asked.headers["access-control-allow-methods"].split(", "))
        refused = await client.options(EXPERIMENTS, headers={"Origin": OTHER, **PREFLIGHT})
        assert refused.status_code == 400
        assert "access-control-allow-origin" not in refused.headers

        key = {"X-API-Key": make_key()}
        statuses = []
        for headers in ({}, key, key, key):
            answer = await client.get(EXPERIMENTS, headers={"Origin": SITE, **headers})
            statuses.append(answer.status_code)
            # A page reads a failure too; without cookies, since no credential of ours is one.
            assert allowed(answer) == {
                "access-control-allow-origin": SITE,
                "access-control-expose-headers": (
                    "ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, Idempotency-Replayed"
                ),
            }
        assert statuses == [401, 200, 200, 429]
        for site in (OTHER, "https://APP.example", "http://app.example", "null"):
            answer = await client.get(EXPERIMENTS, headers={"Origin": site, "X-API-Key": make_key(subject="other")})
            assert "access-control-allow-origin" not in answer.headers
