"""Failovers in a row under the platform's own API: nothing that it acknowledged is lost, nor done twice."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, text

from runtime.api.app import create_app
from runtime.db.engine import engine_at
from runtime.db.migrate import migrate
from runtime.jobs.partitions import ensure_partitions
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from runtime.settings import APP_ROLE, JOBS_ROLE, ApiSettings
from tests.conftest import PASSWORD, SECRET, as_secret, settings_of
from tests.runbooks.sandbox.admin import ENTERPRISE, Admin, sandbox
from tests.runbooks.sandbox.front.google import IAM_USER, Google, serving

HA = ENTERPRISE | {
    "tier": "db-custom-2-7680",
    "availabilityType": "REGIONAL",
    "ipConfiguration": {
        "ipv4Enabled": False,
        "privateNetwork": "projects/p-1/global/networks/private",
        "sslMode": "ENCRYPTED_ONLY",
    },
}
DATABASE = "holdfast"
WRITERS = 3
# What each writes before the next failover, at least.
PROGRESS = 5
PAUSE = 0.02


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """A sandbox, and a service account whose tokens it takes."""
    folder = tmp_path_factory.mktemp("sandbox")
    account = folder / "account.json"
    with pytest.MonkeyPatch.context() as patch, sandbox(folder / "state") as admin, serving(Google(), account):
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
        patch.setenv("GOOGLE_CLOUD_PROJECT", "p-1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield admin


@dataclass(frozen=True)
class Platform:
    """An instance with high availability, with the platform's schema and the users that an operator would make."""

    admin: Admin
    name: str
    ca: Path

    def url(self, user: str) -> URL:
        """PostgreSQL's own port, with TLS and a password."""
        [place] = [
            one for one in self.admin.control.get("instances").json()["instances"] if one["instance"] == self.name
        ]
        tls = {"sslmode": "verify-ca", "sslrootcert": str(self.ca)}
        return URL.create("postgresql", user, PASSWORD, place["host"], place["port"], DATABASE, tls)

    def settings(self, **where: Any) -> ApiSettings:
        """What the API would have; it finds the instance as `where` says."""
        return settings_of(
            jobs_database_url=as_secret(self.url("jobs_login")), db_pool_min=2, db_pool_max=8, rate_limit=0, **where
        )

    def by_iam(self) -> ApiSettings:
        """By the connector, which asks the sandbox's own Admin API, and without a password."""
        return self.settings(
            gcp_sql_instance=self.admin.get(self.name)["connectionName"],
            cloud_sql_admin_endpoint=self.admin.url,
            db_name=DATABASE,
            db_user=IAM_USER,
        )

    def by_password(self) -> ApiSettings:
        """At PostgreSQL's own port."""
        return self.settings(database_url=as_secret(self.url("api_login")))

    def made(self) -> list[str]:
        """The names of all experiments."""
        engine = engine_at(self.url("jobs_login"), application_name="test")
        with engine.connect() as connection:
            found = list(connection.scalars(text("SELECT name FROM experiments")))
        engine.dispose()
        return found


def new_platform(admin: Admin, name: str, version: str, folder: Path) -> Platform:
    admin.insert(name, HA, databaseVersion=version, rootPassword=PASSWORD)
    ca = folder / "ca.pem"
    ca.write_text(admin.get(name)["serverCaCert"]["cert"])
    platform = Platform(admin, name, ca)
    users = f"instances/{name}/users"
    for body in (
        {"name": IAM_USER, "type": "CLOUD_IAM_SERVICE_ACCOUNT"},
        {"name": "api_login", "password": PASSWORD},
        {"name": "jobs_login", "password": PASSWORD},
    ):
        admin.well(admin.http.post(users, json=body))
    admin.well(admin.http.post(f"instances/{name}/databases", json={"name": DATABASE}))
    members = {APP_ROLE: (IAM_USER, "api_login"), JOBS_ROLE: ("jobs_login",)}
    url = as_secret(platform.url("postgres"))
    migrate(settings_of(database_url=url, migration_database_url=url, db_role_members=members))
    return platform


def new_key(platform: Platform) -> str:
    engine = engine_at(platform.url("jobs_login"), application_name="test")
    ensure_partitions(engine)
    with engine.begin() as connection:
        issued = create_key(connection, secret=SECRET, subject="writer", scopes=ALL_SCOPES)
    engine.dispose()
    return issued.key


@dataclass
class Writers:
    """Clients that make experiments until they are stopped.

    The first has no Idempotency-Key and gives up what is refused, of which it cannot know whether it was done. The
    others ask again with the same key until they have their answer.
    """

    client: httpx.AsyncClient
    acknowledged: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, writer: int) -> None:
        for number in itertools.count():
            if self.ended.is_set():
                return
            name = f"writer {writer} wrote {number}"
            key = {"Idempotency-Key": f"{writer}-{number}"} if writer else {}
            while not await self._make(name, key) and key:
                pass

    async def _make(self, name: str, key: dict[str, str]) -> bool:
        # Between two, since the machine is also to fail over.
        await asyncio.sleep(PAUSE)
        answer = await self.client.post("/api/experiments", json={"name": name}, headers=key)
        if answer.status_code == 201:
            self.acknowledged.append(name)
            return True
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        self.refused.add(name)
        return False

    async def go_on(self) -> None:
        """Return when they could write again."""
        least = len(self.acknowledged) + WRITERS * PROGRESS
        async with asyncio.timeout(30):
            while len(self.acknowledged) < least:  # noqa: ASYNC110  # whoever writes knows nothing of who waits
                await asyncio.sleep(PAUSE)


@asynccontextmanager
async def writing(settings: ApiSettings, key: str) -> Any:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://holdfast.test",
            headers={"X-API-Key": key},
            timeout=60,
        ) as client,
    ):
        writers = Writers(client)
        async with asyncio.TaskGroup() as tasks:
            for number in range(WRITERS):
                tasks.create_task(writers.write(number))
            await writers.go_on()
            yield writers
            await writers.go_on()
            writers.ended.set()


@pytest.mark.parametrize(
    ("version", "settings_by", "failovers"),
    [("POSTGRES_18", Platform.by_iam, 10), ("POSTGRES_16", Platform.by_password, 3)],
)
async def test_failovers_in_a_row_lose_nothing_that_was_acknowledged(
    admin: Admin,
    tmp_path: Path,
    version: str,
    settings_by: Callable[[Platform], ApiSettings],
    failovers: int,
) -> None:
    name = version.lower().replace("_", "-")
    platform = await asyncio.to_thread(new_platform, admin, name, version, tmp_path)
    key = await asyncio.to_thread(new_key, platform)
    before = admin.get(name)
    async with writing(settings_by(platform), key) as writers:
        for number in range(failovers):
            operation = await asyncio.to_thread(lambda: admin.well(admin.failover(name)))
            assert operation["operationType"] == "FAILOVER"
            zone = before["gceZone" if number % 2 else "secondaryGceZone"]
            after = await asyncio.to_thread(admin.get, name)
            assert (after["gceZone"], after["ipAddresses"]) == (zone, before["ipAddresses"])
            await writers.go_on()
    made = await asyncio.to_thread(platform.made)
    assert len(writers.acknowledged) >= (failovers + 2) * WRITERS * PROGRESS
    # Each once, and nothing else but what may have been done although it was refused.
    assert len(set(made)) == len(made)
    assert set(writers.acknowledged) <= set(made)
    assert set(made) - set(writers.acknowledged) <= {name for name in writers.refused if name.startswith("writer 0")}
