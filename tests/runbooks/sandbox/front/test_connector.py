"""The real cloud-sql-python-connector, and the platform's own API by it, through an instance's front."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from google.cloud.sql.connector import Connector, IPTypes, RefreshStrategy
from pydantic import SecretStr
from sqlalchemy import select, text

from runbooks.sandbox.front.logins import derived_password
from runtime.api.app import create_app
from runtime.db.pool import Database
from runtime.db.query import Query
from runtime.settings import APP_ROLE, ApiSettings
from tests.conftest import PASSWORD, TestDatabase, as_secret, autocommit, settings_of
from tests.runbooks.sandbox.front.fronts import Instance
from tests.runbooks.sandbox.front.google import IAM_USER, INSTANCE, SANDBOX_SECRET, SERVICE_ACCOUNT, Google, serving

WHO = Query(select(text("current_user::text")))


@pytest.fixture
def google(
    database: TestDatabase,
    make_instance: Callable[..., Instance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Google]:
    """Google with one instance, whose cluster is the worker's server, and one IAM user of it."""
    account = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with autocommit(database.server.url) as connection:
        derived = derived_password(SANDBOX_SECRET, IAM_USER)
        connection.exec_driver_sql(f'CREATE ROLE "{IAM_USER}" LOGIN PASSWORD %s', (derived,))
        connection.execute(text(f'GRANT {APP_ROLE} TO "{IAM_USER}"'))
    known = Google()
    known.instance = make_instance(database.server.port, logins=known)
    with serving(known, account):
        yield known
    known.instance.front.stop()
    with autocommit(database.server.url) as connection:
        connection.exec_driver_sql(f'DROP ROLE "{IAM_USER}"')


def cloud_settings(google: Google, database: TestDatabase, **others: object) -> ApiSettings:
    """What the API would have on Cloud Run."""
    return settings_of(
        gcp_sql_instance=INSTANCE,
        cloud_sql_admin_endpoint=google.endpoint,
        db_name=database.name,
        db_pool_min=2,
        db_pool_timeout=20,
        **{"db_user": IAM_USER, **others},
    )


@pytest.mark.parametrize("strategy", [RefreshStrategy.LAZY, RefreshStrategy.BACKGROUND])
async def test_the_connector_carries_a_driver_by_iam_and_by_a_password(
    strategy: RefreshStrategy, google: Google, database: TestDatabase
) -> None:
    async with Connector(
        loop=asyncio.get_running_loop(), refresh_strategy=strategy, sqladmin_api_endpoint=google.endpoint
    ) as connector:
        for login, user in (
            ({"user": SERVICE_ACCOUNT, "enable_iam_auth": True}, IAM_USER),
            ({"user": "api_login", "password": PASSWORD}, "api_login"),
        ):
            connection: asyncpg.Connection = await connector.connect_async(
                INSTANCE, "asyncpg", db=database.name, ip_type=IPTypes.PRIVATE, **login
            )
            assert await connection.fetchval("SELECT current_user") == user
            await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connector.connect_async(
                INSTANCE, "asyncpg", db=database.name, ip_type=IPTypes.PRIVATE, user="api_login", password="wrong"
            )


@pytest.mark.parametrize("login", [{}, {"db_user": "api_login", "db_password": SecretStr(PASSWORD)}])
async def test_the_apis_pool_comes_back_after_a_cut(
    login: dict[str, object], google: Google, database: TestDatabase
) -> None:
    pool = Database(cloud_settings(google, database, **login), application_name="test")
    user = await pool.value(WHO)
    assert user == login.get("db_user", IAM_USER)
    assert google.instance is not None
    google.instance.front.cut()
    # Idempotent reads are repeated by the pool itself, on a connection that it opens anew.
    assert await pool.value(WHO) == user
    await pool.close()


@pytest.fixture
async def by_the_connector(
    google: Google, database: TestDatabase, make_key: Callable[..., str]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, whose database is the instance, by IAM."""
    settings = cloud_settings(google, database, jobs_database_url=as_secret(database.url("jobs_login")))
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://holdfast.test",
            headers={"X-API-Key": make_key()},
        ) as client,
    ):
        yield client


async def test_the_platforms_api_by_the_connector_says_when_its_instance_is_down(
    by_the_connector: httpx.AsyncClient, google: Google, database: TestDatabase
) -> None:
    assert google.instance is not None
    front = google.instance.front
    path = "/api/experiments"
    assert (await by_the_connector.get(path)).status_code == 200
    front.point_at(None)
    front.cut()
    down = await by_the_connector.get(path)
    assert (down.status_code, "retry-after" in down.headers) == (503, True)
    front.point_at(database.server.port)
    # The first after it may still meet what the API keeps for a moment after a failure.
    deadline = asyncio.get_running_loop().time() + 20
    while (again := await by_the_connector.get(path)).status_code == 503:
        assert asyncio.get_running_loop().time() < deadline
    assert again.status_code == 200
