"""A real PostgreSQL a worker, built by the migrations; a fresh database a test, met as the plain application login."""

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, text

from runbooks.local.binaries import postgres_programs
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from runtime.api.app import create_app
from runtime.db.engine import engine_at
from runtime.db.migrate import migrate
from runtime.db.pool import Database
from runtime.jobs.partitions import ensure_partitions
from runtime.platform.keys import create_key
from runtime.platform.scopes import ALL_SCOPES
from runtime.settings import APP_ROLE, JOBS_ROLE, READONLY_ROLE, ApiSettings
from tests.fence import inside

# Full of what a URL, SQL or a shell would read as its own.
PASSWORD = "p@ss:w/rd%20?#[]'\"\\$& ü"
SECRET = "0123456789abcdef-a-secret-for-tests-only"
SUBJECT = 'o\'brien "quoted" <é>@example.com'
LOGINS = {"api_login": APP_ROLE, "jobs_login": JOBS_ROLE, "reader_login": READONLY_ROLE}
TEMPLATE = "holdfast_template"


@dataclass(frozen=True)
class TestDatabase:
    """One test's own database, and how each role gets in."""

    __test__ = False
    server: PostgresServer
    name: str

    def url(self, login: str | None = None) -> URL:
        """The address for a login; without one, the superuser's."""
        url = self.server.url.set(database=self.name)
        return url if login is None else url.set(username=login, password=PASSWORD)

    def engine(self, login: str | None = None) -> Engine:
        """A psycopg2 engine."""
        return engine_at(self.url(login), application_name="test")

    def settings(self, **others: object) -> ApiSettings:
        """What the API would have: the plain application login."""
        return settings_of(
            database_url=as_secret(self.url("api_login")),
            jobs_database_url=as_secret(self.url("jobs_login")),
            migration_database_url=as_secret(self.url()),
            **others,
        )


def as_secret(url: URL) -> SecretStr:
    """A URL with its password, as a setting holds it."""
    return SecretStr(url.render_as_string(hide_password=False))


def settings_of(**values: object) -> ApiSettings:
    """Settings from these values and no file."""
    return ApiSettings(_env_file=None, **{"secret_key": SecretStr(SECRET), "max_workers": 1, **values})


# The servers' data took a third of it.
MEMORY, ROOMY_BYTES = Path("/dev/shm"), 10_000_000_000  # noqa: S108  # pytest makes folders of its own there


def pytest_configure(config: pytest.Config) -> None:
    """No setting, credential or cloud of this shell's reaches a test. Before any: google-auth reads some on import."""
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    seen = inside(os.environ)
    for name in os.environ.keys() - seen:
        patch.delenv(name)
    for name, value in seen.items():
        patch.setenv(name, value)
    if MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOMY_BYTES:
        # Where pytest makes its folders: a fifth of the sandboxes' time is copying data.
        patch.setenv("PYTEST_DEBUG_TEMPROOT", os.environ.get("PYTEST_DEBUG_TEMPROOT", str(MEMORY)))


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor do the checkout's files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield


def new_server(folder: Path, *, programs: Path | None = None, **settings: str) -> PostgresServer:
    """A PostgreSQL in a folder, initialised and not started. Its data need not survive: nothing waits for the disk."""
    server = PostgresServer(
        programs=postgres_programs(programs),
        data=folder / "data",
        log=folder / "log",
        port=free_port(),
        password=PASSWORD,
        settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **settings},
    )
    server.init()
    return server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """This worker's PostgreSQL."""
    postgres = new_server(tmp_path_factory.mktemp("postgres"), max_connections="200")
    postgres.start()
    postgres.wait_ready()
    yield postgres
    postgres.stop()


def at_head(server: PostgresServer) -> TestDatabase:
    """A database at head with its partitions, and the logins as an operator would make them."""
    with autocommit(server.url) as connection:
        for login in LOGINS:
            connection.execute(text(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'"))
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    database = TestDatabase(server, TEMPLATE)
    migrate(database.settings(db_role_members={role: (login,) for login, role in LOGINS.items()}))
    jobs = database.engine("jobs_login")
    ensure_partitions(jobs)
    jobs.dispose()
    return database


@pytest.fixture(scope="session")
def template(server: PostgresServer) -> str:
    """The name of a database at head, to copy from."""
    return at_head(server).name


class autocommit:  # noqa: N801  # used as a function
    """A connection outside transactions, for CREATE DATABASE."""

    def __init__(self, url: URL) -> None:
        self._engine = engine_at(url, application_name="test").execution_options(isolation_level="AUTOCOMMIT")

    def __enter__(self) -> Connection:
        self._connection = self._engine.connect()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()


_numbers = itertools.count()


@pytest.fixture
def make_database(server: PostgresServer) -> Iterator[Callable[..., TestDatabase]]:
    """Makes databases that end with the test: empty ones, or copies of a template."""
    made: list[str] = []

    def make(template: str = "template0") -> TestDatabase:
        name = f"test_{next(_numbers)}"
        with autocommit(server.url) as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        made.append(name)
        return TestDatabase(server, name)

    yield make
    with autocommit(server.url) as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(make_database: Callable[..., TestDatabase], template: str) -> TestDatabase:
    """A database at head, empty but for its partitions."""
    return make_database(template)


@pytest.fixture
async def db(database: TestDatabase) -> AsyncIterator[Database]:
    """The API's pool, as the plain application login."""
    pool = Database(database.settings(db_pool_min=1), application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
def make_key(database: TestDatabase) -> Callable[..., str]:
    """Makes API keys, as the jobs login."""

    def make(*scopes: str, subject: str = SUBJECT, **options: object) -> str:
        engine = database.engine("jobs_login")
        with engine.begin() as connection:
            issued = create_key(connection, secret=SECRET, subject=subject, scopes=scopes or ALL_SCOPES, **options)
        engine.dispose()
        return issued.key

    return make


@pytest.fixture
async def make_client(database: TestDatabase) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """Makes clients of one application in this process; nothing is mocked behind it."""
    app = create_app(database.settings(db_pool_min=1))
    clients: list[httpx.AsyncClient] = []
    async with app.router.lifespan_context(app):

        def make(key: str | None = None) -> httpx.AsyncClient:
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                base_url="http://holdfast.test",
                headers={"X-API-Key": key} if key else {},
            )
            clients.append(client)
            return client

        yield make
        for client in clients:
            await client.aclose()


@pytest.fixture
def client(make_client: Callable[..., httpx.AsyncClient], make_key: Callable[..., str]) -> httpx.AsyncClient:
    """A client with a key that has every scope."""
    return make_client(make_key())
