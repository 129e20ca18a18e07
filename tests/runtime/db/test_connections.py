"""How the platform gets into its database: each form of the settings, on a real server."""

import asyncio
import base64
import http.server
import json
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import asyncpg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.credentials import TokenState
from google.cloud.sql.connector import Connector, IPTypes, RefreshStrategy
from google.cloud.sql.connector.refresh_utils import _downscope_credentials
from pydantic import SecretStr
from sqlalchemy import select, text

from runbooks.local.ports import HOST, free_port
from runbooks.local.postgres import PostgresServer
from runtime.db.engine import make_engine
from runtime.db.pool import Database
from runtime.db.query import Query
from runtime.db.retry import LOST
from runtime.db.tokens import ADMIN_SCOPE, LOGIN_SCOPE, Tokens
from runtime.errors import ConfigurationError
from runtime.settings import APP_ROLE, ApiSettings
from tests.conftest import PASSWORD, TestDatabase, as_secret, autocommit, new_server, settings_of
from tests.waiting import wait_until

WHO = Query(select(text("current_user::text")))
PASSWORDS = (
    PASSWORD,
    "postgresql://u:p@h/d?x=1#y",
    " leading, trailing ",
    "100%41 %zz +plus",
    "\"'`${HOME}; DROP TABLE x--\\",
    "пароль 密码 🔑",
    "x" * 500,
)


@pytest.fixture
def login(database: TestDatabase) -> Iterator[Callable[[str], str]]:
    """Makes logins of the application with a given password."""
    made: list[str] = []

    def make(password: str) -> str:
        name = f"login {len(made)}@p.iam"
        with autocommit(database.server.url) as connection:
            connection.execute(text(f'DROP ROLE IF EXISTS "{name}"'))
            connection.exec_driver_sql(f'CREATE ROLE "{name}" LOGIN PASSWORD %s', (password,))
            connection.execute(text(f'GRANT {APP_ROLE} TO "{name}"'))
        made.append(name)
        return name

    yield make
    with autocommit(database.server.url) as connection:
        for name in made:
            connection.execute(text(f'DROP ROLE "{name}"'))


async def users_by_both_drivers(settings: ApiSettings) -> tuple[str, str]:
    engine = make_engine(settings, application_name="test", duty="jobs")
    with engine.connect() as connection:
        by_psycopg2: str = connection.scalar(text("SELECT current_user"))
    engine.dispose()
    pool = Database(settings, application_name="test")
    by_asyncpg: str = await pool.value(WHO)
    await pool.close()
    return by_psycopg2, by_asyncpg


@pytest.mark.parametrize("password", PASSWORDS, ids=range(len(PASSWORDS)))
async def test_both_drivers_get_in_with_a_hostile_password(
    password: str, database: TestDatabase, login: Callable[[str], str]
) -> None:
    name = login(password)
    from_parts = settings_of(
        db_host=HOST,
        db_port=database.server.port,
        db_name=database.name,
        db_user=name,
        db_password=SecretStr(password),
        db_pool_min=1,
    )
    from_url = settings_of(database_url=as_secret(from_parts.url), db_pool_min=1)
    assert await users_by_both_drivers(from_parts) == (name, name)
    assert await users_by_both_drivers(from_url) == (name, name)


@pytest.fixture
def second_server() -> Iterator[PostgresServer]:
    """A server of the test's own, not started, whose socket is in a folder with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    server = new_server(folder, unix_socket_directories=str(folder), max_connections="20")
    yield server
    server.stop()
    shutil.rmtree(folder)


async def test_a_pool_opens_when_its_database_comes_and_comes_back_with_it(second_server: PostgresServer) -> None:
    pool = Database(settings_of(database_url=as_secret(second_server.url), db_pool_min=2), application_name="test")
    with pytest.raises(LOST):
        await pool.value(WHO)
    second_server.start()
    second_server.wait_ready()
    assert await pool.value(WHO) == "postgres"
    second_server.stop()
    with pytest.raises(LOST):
        await pool.value(WHO)
    second_server.start()
    second_server.wait_ready()
    assert await pool.value(WHO) == "postgres"

    # The same server by its socket: the port is part of the socket's name.
    by_socket = settings_of(
        db_host=str(second_server.data.parent),
        db_port=second_server.port,
        db_name="postgres",
        db_user="postgres",
        db_password=SecretStr(PASSWORD),
        db_pool_min=1,
    )
    assert await users_by_both_drivers(by_socket) == ("postgres", "postgres")
    await pool.close()


# --- Cloud SQL -------------------------------------------------------------------------------------------------------

INSTANCE = "project:us-central1:holdfast"
TOKENS = {ADMIN_SCOPE: "for the Admin API", LOGIN_SCOPE: PASSWORD}


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    """Google's, as far as a service account sees it: a signed assertion in, an access token out."""

    def do_POST(self) -> None:  # the library's name
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        payload = form["assertion"][0].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["scope"] in TOKENS
        body = json.dumps(
            {"access_token": TOKENS[claims["scope"]], "expires_in": 3600, "token_type": "Bearer"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Application default credentials whose token endpoint is on this machine; the token is the login's password."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = http.server.HTTPServer((HOST, 0), TokenEndpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    account = {
        "type": "service_account",
        "client_email": "api@project.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "private_key_id": "1",
        "token_uri": f"http://{HOST}:{server.server_port}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setenv("NO_PROXY", HOST)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


class FakeInstance:
    """Stands for the connector, whose class's signatures are checked; what it connects to is a real server."""

    def __init__(self, database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        self.made = mock.create_autospec(Connector)
        self.connector = self.made.return_value
        self.connector.connect_async.side_effect = self._connect
        self.is_down = False
        self._database = database
        monkeypatch.setattr("runtime.db.cloud.Connector", self.made)

    def token(self) -> str:
        """What the real one sends as the password."""
        given = self.made.call_args.kwargs["credentials"]
        return str(_downscope_credentials(given).token)

    async def _connect(self, instance: str, driver: str, **keywords: Any) -> asyncpg.Connection:
        self.calls.append({"instance": instance, "driver": driver, **keywords})
        if self.is_down:
            raise ConnectionResetError
        # What the real one takes for itself; the rest goes to the driver.
        has_iam, _ = keywords.pop("enable_iam_auth", False), keywords.pop("ip_type")
        return await asyncpg.connect(
            user=keywords.pop("user"),
            database=keywords.pop("db"),
            password=self.token() if has_iam else keywords.pop("password"),
            host=HOST,
            port=self._database.server.port,
            **keywords,
        )


@pytest.fixture
def instance(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> FakeInstance:
    return FakeInstance(database, monkeypatch)


def cloud_settings(database: TestDatabase, **others: object) -> ApiSettings:
    return settings_of(gcp_sql_instance=INSTANCE, db_name=database.name, db_user="api_login", db_pool_min=2, **others)


@pytest.mark.usefixtures("service_account")
async def test_without_a_password_the_connector_asks_for_iam_authentication_at_the_private_address(
    database: TestDatabase, instance: FakeInstance
) -> None:
    pool = Database(cloud_settings(database), application_name="holdfast-api")
    assert await pool.value(WHO) == "api_login"
    # What the session has by a URL it has by the connector.
    assert await pool.value(Query(select(text("current_setting('application_name')")))) == "holdfast-api"
    await pool.close()
    made = instance.made.call_args.kwargs
    assert (made["refresh_strategy"], made["loop"]) == (RefreshStrategy.LAZY, asyncio.get_running_loop())
    assert len(instance.calls) == 2
    for call in instance.calls:
        assert (call["instance"], call["driver"], call["db"]) == (INSTANCE, "asyncpg", database.name)
        assert (call["enable_iam_auth"], call["ip_type"], call["user"]) == (True, IPTypes.PRIVATE, "api_login")
        assert "password" not in call
    instance.connector.close_async.assert_awaited_once_with()


@pytest.mark.usefixtures("service_account")
async def test_with_a_password_the_connector_does_not_ask_for_iam_authentication(
    database: TestDatabase, instance: FakeInstance
) -> None:
    pool = Database(cloud_settings(database, db_password=SecretStr(PASSWORD)), application_name="test")
    assert await pool.value(WHO) == "api_login"
    await pool.close()
    assert {(call.get("enable_iam_auth"), call["password"]) for call in instance.calls} == {(None, PASSWORD)}


@pytest.mark.usefixtures("service_account")
async def test_the_connector_goes_by_the_kind_of_address_that_is_set(
    database: TestDatabase, instance: FakeInstance
) -> None:
    pool = Database(cloud_settings(database, gcp_sql_ip_type="psc"), application_name="test")
    assert await pool.value(WHO) == "api_login"
    await pool.close()
    assert {call["ip_type"] for call in instance.calls} == {IPTypes.PSC}


@pytest.mark.usefixtures("service_account")
async def test_one_connector_serves_however_often_the_pool_fails_to_open(
    database: TestDatabase, instance: FakeInstance
) -> None:
    pool = Database(cloud_settings(database), application_name="test")
    instance.is_down = True
    with pytest.raises(ConnectionResetError):
        await pool.value(WHO)
    instance.is_down = False
    assert await pool.value(WHO) == "api_login"
    await pool.close()
    instance.made.assert_called_once()
    instance.connector.close_async.assert_awaited_once_with()


def iam_engine_user(database: TestDatabase, *, password: str | None) -> str:
    # The proxy's socket cannot be here, so the duty has a URL, of the same instance.
    url = database.url("jobs_login")._replace(password=password)
    settings = settings_of(gcp_sql_instance=INSTANCE, db_user="api_login", jobs_database_url=as_secret(url))
    engine = make_engine(settings, application_name="test", duty="jobs")
    try:
        with engine.connect() as connection:
            return str(connection.scalar(text("SELECT current_user")))
    finally:
        engine.dispose()


@pytest.mark.usefixtures("service_account")
async def test_the_real_connector_finds_both_tokens_ready() -> None:
    tokens = await Tokens.default()
    connector = Connector(loop=asyncio.get_running_loop(), credentials=tokens)
    await tokens.renew()
    # As its client does before it asks the Admin API, and for the certificate's password.
    assert tokens.token_state is not TokenState.FRESH
    tokens.refresh(None)
    assert tokens.token == TOKENS[ADMIN_SCOPE]
    assert tokens.token_state is TokenState.FRESH
    assert _downscope_credentials(tokens).token == TOKENS[LOGIN_SCOPE]
    await connector.close_async()


@pytest.mark.usefixtures("service_account")
async def test_while_google_gives_no_token_nothing_else_waits(database: TestDatabase, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as mute:
        account = json.loads((tmp_path / "account.json").read_text())
        account["token_uri"] = f"http://{HOST}:{mute.getsockname()[1]}/token"
        (tmp_path / "account.json").write_text(json.dumps(account))
        pool = Database(cloud_settings(database, db_pool_timeout=0.5), application_name="test")
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await asyncio.sleep(0)
                longest = max(longest, time.monotonic() - before)

        ticking = asyncio.create_task(tick())
        with pytest.raises(TimeoutError):
            await pool.value(WHO)
        ticking.cancel()
        await pool.close()
    assert longest < 0.4


@pytest.mark.usefixtures("service_account")
async def test_credentials_that_google_refuses_are_a_dependency_that_is_down(
    database: TestDatabase, tmp_path: Path
) -> None:
    account = json.loads((tmp_path / "account.json").read_text())
    account["token_uri"] = f"http://{HOST}:{free_port()}/token"
    (tmp_path / "account.json").write_text(json.dumps(account))
    pool = Database(cloud_settings(database), application_name="test")
    with pytest.raises(ConnectionError, match=INSTANCE):
        await pool.value(WHO)
    await pool.close()


@pytest.mark.usefixtures("service_account")
def test_without_a_password_psycopg2_gets_in_with_an_access_token(database: TestDatabase) -> None:
    assert iam_engine_user(database, password=None) == "jobs_login"


def test_a_dutys_own_password_is_not_replaced_by_a_token(database: TestDatabase) -> None:
    # There are no credentials here: asking for a token would fail.
    assert iam_engine_user(database, password=PASSWORD) == "jobs_login"


def test_missing_google_credentials_are_said_in_words(database: TestDatabase) -> None:
    with pytest.raises(ConfigurationError, match=r"GCP_SQL_INSTANCE without DB_PASSWORD.* set DB_PASSWORD"):
        iam_engine_user(database, password=None)


def test_an_operators_session_has_its_name_and_utc(database: TestDatabase) -> None:
    engine = make_engine(database.settings(), application_name="holdfast-keys", duty="jobs")
    with engine.connect() as connection:
        name, zone = connection.execute(
            text("SELECT current_setting('application_name'), current_setting('timezone')")
        ).one()
    engine.dispose()
    assert (name, zone) == ("holdfast-keys", "UTC")
    assert wait_until(lambda: not sessions(database, "holdfast-keys"))


def sessions(database: TestDatabase, name: str) -> int:
    with autocommit(database.server.url) as connection:
        return int(
            connection.scalar(
                text("SELECT count(*) FROM pg_stat_activity WHERE datname = :d AND application_name = :n"),
                {"d": database.name, "n": name},
            )
        )
