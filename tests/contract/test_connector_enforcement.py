"""An instance that lets in connectors only, as production's does, keeps out nobody whom the platform needs.

The sandbox refuses at PostgreSQL's port whoever comes there, and lets in at the connectors' who has a certificate.
"""

import asyncio
import concurrent.futures
import gc
import inspect
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from google.cloud.sql.connector.client import CloudSQLClient
from google.cloud.sql.connector.connection_info import ConnectionInfo
from google.cloud.sql.connector.lazy import LazyRefreshCache
from google.cloud.sql.connector.utils import generate_keys
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from runbooks.engine import report
from runbooks.engine.findings import Result
from runbooks.engine.report import Verdict
from runbooks.engine.target import Address, Proxy
from runbooks.engine.tools import Tools
from runbooks.local.environment import runtime_settings
from runbooks.local.ports import free_port
from runbooks.procedures import diagnose_connection
from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.environment import API_USERS
from runbooks.rehearsal.rehearsal import Rehearsal, judged
from runbooks.rehearsal.scenarios import find
from runbooks.rehearsal.stage import Stage
from runtime.cloudsql.models import Operation
from runtime.db.engine import engine_at, make_engine
from runtime.db.gateway import Gateway
from runtime.db.pool import Database
from runtime.db.query import Query
from runtime.errors import ConfigurationError
from runtime.settings import ApiSettings
from tests.runbooks.procedures.runs import Runs
from tests.runbooks.sandbox.front.google import IAM_USER, Google, serving
from tests.running import call, run, runtime
from tests.waiting import wait_until

NAME = "rehearsal:us-central1:holdfast"
REFUSED = "pg_hba.conf rejects connection"
WHO = Query(select(text("current_user::text")))
COMMANDS = (
    ("partitions",),
    ("recovery-marker",),
    ("keys", "create", "--subject", "ops", "--scopes", "ard:read"),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One sandbox for all, whose instance lets in connectors only."""
    with stages.base(by_connector=True) as base, stages.stage(tmp_path_factory.mktemp("connectors"), *base) as made:
        yield made


@pytest.fixture(scope="module")
def environment(stage: Stage) -> dict[str, str]:
    """The settings of a container, as Cloud Run gives them."""
    found = dict(stage.environment.settings) | {"CLOUD_SQL_ADMIN_ENDPOINT": stage.endpoints["sql"]}
    assert found["GCP_SQL_INSTANCE"] == NAME
    for duty in ("MIGRATION_DATABASE_URL", "JOBS_DATABASE_URL"):
        assert make_url(found[duty]).query["host"] == f"/cloudsql/{NAME}"
    return found


@contextmanager
def gateway(stage: Stage, name: str = NAME, **options: Any) -> Iterator[Gateway]:
    made = Gateway(name, endpoint=stage.endpoints["sql"], **options)
    try:
        yield made
    finally:
        made.close()


def enter(stage: Stage, made: Gateway, **options: Any) -> Any:
    """A connection of the operator's by a gateway."""
    login = {"user": "postgres", "password": password(stage), "dbname": "postgres", "connect_timeout": 20}
    connection = psycopg2.connect(**(login | made.place() | options))
    connection.autocommit = True
    return connection


def password(stage: Stage) -> str:
    return stage.tools.secrets.newest(stage.target.operator.secret).get_secret_value()


def answer(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


# --- The instance ----------------------------------------------------------------------------------------------------


def test_who_comes_directly_is_refused_and_only_for_this_setting(stage: Stage) -> None:
    admin, name = stage.tools.admin, stage.target.instance
    host, port = stage.tools.address(admin.instances.get(name))

    def directly(mode: str) -> None:
        psycopg2.connect(
            host=host, port=port, sslmode=mode, user="postgres", password=password(stage), dbname="postgres"
        ).close()

    for mode in ("require", "disable"):
        with pytest.raises(psycopg2.OperationalError, match=REFUSED):
            directly(mode)
    admin.wait(admin.instances.patch(name, settings={"connectorEnforcement": "NOT_REQUIRED"}))
    directly("require")
    admin.wait(admin.instances.patch(name, settings={"connectorEnforcement": "REQUIRED"}))
    with pytest.raises(psycopg2.OperationalError, match=REFUSED):
        directly("require")


# --- The runtime -----------------------------------------------------------------------------------------------------


async def test_the_api_and_jobs_come_in_by_a_password_and_by_iam(
    environment: dict[str, str], stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    admin = stage.tools.admin
    admin.wait(admin.users.insert(stage.target.instance, IAM_USER, kind="CLOUD_IAM_SERVICE_ACCOUNT"))
    by_iam = {name: value for name, value in environment.items() if name not in ("DB_PASSWORD", "JOBS_DATABASE_URL")}
    with serving(Google(), account):
        for settings, user in (
            (runtime_settings(environment), API_USERS[0]),
            (runtime_settings(by_iam | {"DB_USER": IAM_USER}), IAM_USER),
        ):
            pool = Database(settings, application_name="holdfast-api")
            assert await pool.value(WHO) == user
            await pool.close()
        pool = Database(runtime_settings(environment | {"GCP_SQL_IP_TYPE": "psc"}), application_name="holdfast-api")
        with pytest.raises(ConnectionError, match=f"{NAME}.*PSC"):
            await pool.value(WHO)
        await pool.close()
        # These are `settings` by IAM: a token as the password.
        assert await asyncio.to_thread(user_of_jobs, settings) == IAM_USER


def user_of_jobs(settings: ApiSettings) -> str:
    engine = make_engine(settings, application_name="test", duty="jobs")
    with engine.connect() as connection:
        found = str(connection.scalar(text("SELECT current_user")))
    engine.dispose()
    return found


def test_migrations_come_in_and_leave_nothing_open(environment: dict[str, str], tmp_path: Path) -> None:
    # A socket's name may not be as long as a test's folder is.
    with tempfile.TemporaryDirectory(prefix="hf") as folder:
        migrated = runtime("migrate", cwd=tmp_path, environment=environment | {"TMPDIR": folder})
        assert (migrated.returncode, migrated.stderr) == (0, ""), migrated.stderr
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_job_comes_in(
    command: tuple[str, ...],
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = threading.enumerate()
    done = call(monkeypatch, capsys, *command, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert threading.enumerate() == before


def test_a_backup_is_verified(
    stage: Stage,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    find("verify-backup").prepare(stage)
    done = call(monkeypatch, capsys, "verify-backup", "--json", environment=environment)
    assert done.returncode == 0, done.stdout


def test_where_the_auth_proxy_has_its_socket_there_is_no_gateway(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # A socket's path is at most 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="hf"))
    monkeypatch.setattr("runtime.db.engine.SOCKETS", f"{folder}/")
    url = make_url(stage.environment.settings["JOBS_DATABASE_URL"]).update_query_dict({"host": f"{folder}/{NAME}"})
    engine = engine_at(url, application_name="test", endpoint=stage.endpoints["sql"])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()
    (folder / NAME).mkdir()
    with pytest.raises(OperationalError, match=f"{folder}.*No such file"):
        engine.connect()
    engine.dispose()
    shutil.rmtree(folder)


# --- The gateway -----------------------------------------------------------------------------------------------------


def test_many_at_once_each_have_their_own_and_much_goes_through(stage: Stage) -> None:
    with gateway(stage) as made, concurrent.futures.ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(lambda _: enter(stage, made), range(8)))
        big = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 100000) n"
        assert {len(one) for one in pool.map(lambda each: answer(each, big), connections)} == {3_200_000}
        pids = {each.info.backend_pid for each in connections}
        assert len(pids) == 8
        for each in connections:
            each.close()
        there = enter(stage, made)
        gone = f"SELECT count(*) FROM pg_stat_activity WHERE pid IN ({', '.join(map(str, pids))})"
        assert wait_until(lambda: answer(there, gone) == 0)
        there.close()


CANCELLING = """
import sys, threading
import psycopg2
from runtime.db.gateway import Gateway
gateway = Gateway(sys.argv[1], endpoint=sys.argv[2])
connection = psycopg2.connect(**gateway.place(), user="postgres", password=sys.argv[3], dbname="postgres")
threading.Timer(0.3, connection.cancel).start()
try:
    connection.cursor().execute("SELECT pg_sleep(60)")
except psycopg2.Error as error:
    print(error.pgcode, end="")
connection.close()
gateway.close()
"""


def test_what_runs_can_be_cancelled(stage: Stage, tmp_path: Path) -> None:
    # In a process of its own: if psycopg2 asked by itself, nothing in the process would ever run again.
    given = (NAME, stage.endpoints["sql"], password(stage))
    done = run(sys.executable, "-W", "error", "-c", CANCELLING, *given, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("57014", "")


def test_its_end_ends_what_is_open_and_a_later_call_begins_anew(stage: Stage) -> None:
    before = threading.enumerate()
    with gateway(stage) as made:
        first = made.place()
        folder = Path(first["host"])
        assert folder.stat().st_mode & 0o777 == 0o700
        connection = enter(stage, made)
        made.close()
        assert not folder.exists()
        assert threading.enumerate() == before
        with pytest.raises(psycopg2.OperationalError):
            answer(connection, "SELECT 1")
        connection.close()
        again = enter(stage, made)
        assert made.place()["host"] != first["host"]
        assert answer(again, "SELECT 1") == 1
        again.close()


@pytest.mark.parametrize(
    ("name", "options", "fault", "says"),
    [
        ("rehearsal:us-central1:holdfats", {}, "", "the Admin API does not say where it is: 403"),
        ("rehearsal:us-east1:holdfast", {}, "", "Provided region was mismatched"),
        (NAME, {"ip_type": "psc"}, "", "it has no address of the kind PSC"),
        (NAME, {}, "connect.generateEphemeral:403x1", "the Admin API does not say where it is: 403"),
        (NAME, {"endpoint": "http://127.0.0.1:9"}, "", "the Admin API cannot be reached"),
    ],
)
def test_why_nobody_comes_in_is_said(name: str, options: dict[str, Any], fault: str, says: str, stage: Stage) -> None:
    if fault:
        stage.fault(fault)
    made = Gateway(name, **({"endpoint": stage.endpoints["sql"]} | options))
    try:
        with pytest.raises(psycopg2.OperationalError) as refused:
            enter(stage, made)
    finally:
        made.close()
    assert f"FATAL:  {name}: {says}" in str(refused.value)
    assert "\n" not in str(refused.value).strip()


def test_where_no_socket_can_be_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(ConfigurationError, match="TMPDIR"):
        Gateway(NAME).place()
    gc.collect()
    assert list(folder.iterdir()) == []


def test_an_instance_that_says_nothing_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.db.dial.DIAL_SECONDS", 0.5)
    with gateway(stage, silence_seconds=1) as made:
        stage.accident(network="cut")
        try:
            with pytest.raises(psycopg2.OperationalError, match=r"port 3307, does not answer within 0\.5 s"):
                enter(stage, made)
        finally:
            stage.accident(network="whole")
        enter(stage, made).close()


def test_new_certificates_of_the_instance_are_taken_without_a_failure(stage: Stage) -> None:
    with gateway(stage) as made:
        enter(stage, made).close()
        reset = f"/v1/projects/rehearsal/instances/{stage.target.instance}/resetSslConfig"
        begun = httpx.post(stage.endpoints["sql"] + reset, headers={"Authorization": "Bearer me"}, trust_env=False)
        stage.tools.admin.wait(Operation.model_validate(begun.raise_for_status().json()))
        enter(stage, made).close()


def test_what_is_used_of_the_library_is_as_it_was() -> None:
    """None of it is in Google's own documentation, though it has no underscore."""
    wanted: dict[Callable[..., Any], str] = {
        CloudSQLClient.__init__: "self, sqladmin_api_endpoint, quota_project, credentials, client, driver, user_agent",
        CloudSQLClient.close: "self",
        LazyRefreshCache.__init__: "self, conn_name, client, keys, enable_iam_auth",
        LazyRefreshCache.connect_info: "self",
        LazyRefreshCache.force_refresh: "self",
        ConnectionInfo.create_ssl_context: "self, enable_iam_auth",
        ConnectionInfo.get_preferred_ips: "self, ip_type",
        generate_keys: "",
    }
    assert {each: ", ".join(inspect.signature(each).parameters) for each in wanted} == wanted


# --- The operator ----------------------------------------------------------------------------------------------------


def test_whatever_the_target_says_such_an_instance_is_reached_by_the_connector(stage: Stage) -> None:
    instance = stage.tools.admin.instances.get(stage.target.instance)
    elsewhere = Proxy(via="proxy", port=free_port())
    for changed in ({"connection": Address()}, {"connection": elsewhere, "instance": "its-primary"}):
        tools = Tools(stage.target.model_copy(update=changed), stage.tools.permissions)
        with tools.connect(instance.name) as opened:
            assert answer(opened, "SELECT 1") == 1
        tools.close()
    tools = Tools(stage.target.model_copy(update={"connection": elsewhere}), stage.tools.permissions)
    assert tools.place(instance)["port"] == elsewhere.port
    tools.close()


def test_all_layers_are_whole_and_a_right_that_is_missing_is_named(stage: Stage) -> None:
    ended = Runs(diagnose_connection.PROCEDURE, stage).begin(diagnose_connection.Asked())
    assert report.verdict_of(ended) is Verdict.DONE, report.page(ended)
    assert any(one.found.endswith(":3307") for one in report.findings_of(ended))
    stage.fault("connect.generateEphemeral:403")
    try:
        ended = Runs(diagnose_connection.PROCEDURE, stage).begin(diagnose_connection.Asked())
    finally:
        stage.clear_faults()
    [fault] = [one for one in report.findings_of(ended) if one.result is Result.FAULT]
    assert fault.test == "The connector gets through"
    assert "403" in fault.found
    assert "--role=roles/cloudsql.client" in fault.action


def test_procedures_work(stage: Stage, subtests: pytest.Subtests) -> None:
    # In this order: the last sends the application to another instance.
    for name in ("backup-now", "restore-backup", "failover", "point-in-time-recovery"):
        with subtests.test(name):
            rehearsal: Rehearsal = find(name)
            ended = Runs(rehearsal.procedure, stage).begin(rehearsal.prepare(stage))
            assert judged(rehearsal, stage, ended) == ""
            url = stage.tools.secrets.newest(stage.target.logins[0].secret).get_secret_value()
            assert make_url(url).query["host"].startswith("/cloudsql/rehearsal:us-central1:holdfast")
