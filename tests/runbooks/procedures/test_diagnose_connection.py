"""diagnose-connection: each layer broken by itself, and named with the command that mends it; and all of them whole."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from runbooks.engine import report
from runbooks.engine.errors import FailedError
from runbooks.engine.execution import Execution
from runbooks.engine.findings import Result
from runbooks.engine.journal import Journal
from runbooks.engine.records import Ended
from runbooks.engine.report import Verdict
from runbooks.engine.target import Proxy, Target
from runbooks.local.ports import free_port
from runbooks.procedures.diagnose_connection import PROCEDURE, Asked
from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.rehearsal import Confirming
from runbooks.rehearsal.stage import Stage
from tests.waiting import wait_until

USER = "holdfast_api_a"
NAME = "rehearsal:us-central1:holdfast"
VALID, EXPIRED = "1//valid", "1//expired"
# As Google's services write them.
INVALID_RAPT = {
    "error": "invalid_grant",
    "error_description": "reauth related error (invalid_rapt)",
    "error_uri": "https://support.google.com/a/answer/9368756",
    "error_subtype": "invalid_rapt",
}
TOKEN = {"access_token": "ya29.a-token", "expires_in": 3599, "token_type": "Bearer", "scope": "openid"}
INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED", "domain": "googleapis.com"}
NOT_USED = "Cloud SQL Admin API has not been used in project 42 before or it is disabled. Enable it by visiting …"
DISABLED_NEW = {"code": 403, "message": NOT_USED, "status": "PERMISSION_DENIED", "details": [INFO]}
DISABLED = {
    **DISABLED_NEW,
    "errors": [{"message": NOT_USED, "domain": "usageLimits", "reason": "accessNotConfigured"}],
}


@pytest.fixture(scope="module")
def stage(base: tuple[Path, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One sandbox for all: what a test breaks it mends."""
    with stages.stage(tmp_path_factory.mktemp("diagnosis"), *base) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's machine without gcloud, and with both of Google's credentials, which are valid."""
    folder = tmp_path / "gcloud"
    (folder / "configurations").mkdir(parents=True)
    (folder / "active_config").write_text("work")
    (folder / "configurations" / "config_work").write_text("[core]\naccount = tired%40@example.com\n")
    log_in(folder, VALID)
    log_in_application(folder, VALID)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return folder


def credential(token: str) -> str:
    return json.dumps(
        {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": token, "account": ""}
    )


def log_in(home: Path, token: str) -> None:
    with closing(sqlite3.connect(home / "credentials.db")) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS credentials (account_id TEXT PRIMARY KEY, value BLOB)")
        row = ("tired%40@example.com", credential(token))
        database.execute("INSERT OR REPLACE INTO credentials VALUES (?, ?)", row)


def log_in_application(home: Path, token: str) -> None:
    (home / "application_default_credentials.json").write_text(credential(token))


@contextmanager
def serving(answer: Callable[[str], tuple[int, object]]) -> Iterator[str]:
    """A service on this machine that answers each request's body so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, document = answer(body.decode())
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def token_for(body: str) -> tuple[int, object]:
    return (200, TOKEN) if parse_qs(body)["refresh_token"] == [VALID] else (400, INVALID_RAPT)


def diagnosed(target: Target, folder: Path) -> Ended:
    return Execution(PROCEDURE, target, Asked(), Journal(folder / "journal"), Confirming()).begin()


def on_sandbox(stage: Stage, **endpoints: str) -> Target:
    return stage.target.model_copy(update={"endpoints": stage.target.endpoints.model_copy(update=endpoints)})


def through(stage: Stage, port: int) -> Target:
    return stage.target.model_copy(update={"connection": Proxy(via="proxy", port=port)})


# --- What breaks one layer ------------------------------------------------------------------------------------------


@contextmanager
def no_proxy(stage: Stage, _: Path) -> Iterator[Target]:
    yield through(stage, free_port())


@contextmanager
def port_closed(stage: Stage, home: Path) -> Iterator[Target]:
    program = home / "cloud-sql-proxy"
    program.symlink_to(sys.executable)
    words = (str(program), "-S", "-c", "import time; print(flush=True); time.sleep(600)", "--port=1", NAME)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield through(stage, free_port())
        finally:
            process.kill()


@contextmanager
def with_tokens(stage: Stage) -> Iterator[Target]:
    with serving(token_for) as url:
        yield on_sandbox(stage, tokens=url)


@contextmanager
def user_expired(stage: Stage, home: Path) -> Iterator[Target]:
    log_in(home, EXPIRED)
    with with_tokens(stage) as target:
        yield target


@contextmanager
def application_expired(stage: Stage, home: Path) -> Iterator[Target]:
    log_in_application(home, EXPIRED)
    with with_tokens(stage) as target:
        yield target


@contextmanager
def application_absent(stage: Stage, home: Path) -> Iterator[Target]:
    (home / "application_default_credentials.json").unlink()
    with with_tokens(stage) as target:
        yield target


@contextmanager
def api_disabled(stage: Stage, _: Path) -> Iterator[Target]:
    with serving(lambda _: (403, {"error": DISABLED})) as url:
        yield on_sandbox(stage, sql=url)


@contextmanager
def api_disabled_in_the_newer_form(stage: Stage, _: Path) -> Iterator[Target]:
    with serving(lambda _: (403, {"error": DISABLED_NEW})) as url:
        yield on_sandbox(stage, sql=url)


@contextmanager
def role_of_iam_missing(stage: Stage, _: Path) -> Iterator[Target]:
    stage.fault("instances.get:403x1")
    stage.fault("instances.list:403x1")
    yield stage.target


@contextmanager
def wrong_name(stage: Stage, _: Path) -> Iterator[Target]:
    yield stage.target.model_copy(update={"instance": "holdfats"})


@contextmanager
def patched(stage: Stage, change: dict[str, Any], back: dict[str, Any]) -> Iterator[Target]:
    admin, name = stage.tools.admin, stage.target.instance
    admin.wait(admin.instances.patch(name, **change))
    try:
        yield stage.target
    finally:
        admin.wait(admin.instances.patch(name, **back))


def stopped(stage: Stage, _: Path) -> AbstractContextManager[Target]:
    return patched(stage, {"activation": "NEVER"}, {"activation": "ALWAYS"})


@contextmanager
def address_closed(stage: Stage, _: Path) -> Iterator[Target]:
    place = {"project": stage.target.project, "instance": stage.target.instance, "port": free_port()}
    with serving(lambda _: (200, {"instances": [place]})) as url:
        yield on_sandbox(stage, places=url)


@contextmanager
def with_url(stage: Stage, change: Callable[[URL], URL]) -> Iterator[Target]:
    secrets, secret = stage.tools.secrets, stage.target.logins[0].secret
    before = secrets.newest(secret)
    changed = change(make_url(before.get_secret_value())).render_as_string(hide_password=False)
    secrets.add(secret, SecretStr(changed))
    try:
        yield stage.target
    finally:
        secrets.add(secret, before)


@contextmanager
def tls_refused(stage: Stage, _: Path) -> Iterator[Target]:
    mode = {"settings": {"ipConfiguration": {"sslMode": "ENCRYPTED_ONLY"}}}
    back = {"settings": {"ipConfiguration": {"sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"}}}
    with (
        patched(stage, mode, back),
        with_url(stage, lambda url: url.update_query_dict({"sslmode": "disable"})) as target,
    ):
        yield target


@contextmanager
def certificate_wanted(stage: Stage, _: Path) -> Iterator[Target]:
    mode = {"settings": {"ipConfiguration": {"sslMode": "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"}}}
    back = {"settings": {"ipConfiguration": {"sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"}}}
    with patched(stage, mode, back) as target:
        yield target


@contextmanager
def certificate_not_believed(stage: Stage, _: Path) -> Iterator[Target]:
    instance = stage.tools.admin.instances.get(stage.target.instance).model_dump(mode="json", by_alias=True)
    instance["serverCaCert"]["cert"] = Path(__file__).with_name("another-authority.pem").read_text()
    with serving(lambda _: (200, instance)) as url:
        yield on_sandbox(stage, sql=url)


@contextmanager
def password_wrong(stage: Stage, _: Path) -> Iterator[Target]:
    with with_url(stage, lambda url: url.set(password="p@ss:w/rd%20?#[]'\"\\$& ü")) as target:
        yield target


@contextmanager
def role_missing(stage: Stage, _: Path) -> Iterator[Target]:
    with with_url(stage, lambda url: url.set(username='o\'brien "x"')) as target:
        yield target


def is_renamed(stage: Stage) -> bool:
    with suppress(FailedError):
        stage.tools.query("ALTER DATABASE holdfast RENAME TO elsewhere", database="postgres")
        return True
    return False


@contextmanager
def database_missing(stage: Stage, _: Path) -> Iterator[Target]:
    # Connections that were closed just now may still be ending.
    wait_until(lambda: is_renamed(stage))
    try:
        yield stage.target
    finally:
        stage.tools.query("ALTER DATABASE elsewhere RENAME TO holdfast", database="postgres")


def connected(stage: Stage) -> Any:
    url = make_url(stage.tools.secrets.newest(stage.target.logins[0].secret).get_secret_value())
    named = url.update_query_dict({"application_name": "the-api"})
    return psycopg2.connect(named.render_as_string(hide_password=False))


@contextmanager
def pool_exhausted(stage: Stage, _: Path) -> Iterator[Target]:
    stage.query("ALTER DATABASE holdfast CONNECTION LIMIT 1")
    try:
        with closing(connected(stage)):
            yield stage.target
    finally:
        stage.tools.query("ALTER DATABASE holdfast CONNECTION LIMIT -1", database="postgres")


@contextmanager
def pool_exhausted_for_everybody(stage: Stage, _: Path) -> Iterator[Target]:
    with patched(stage, {"flags": {"max_connections": "14"}}, {"flags": {}}) as target, ExitStack() as held:
        with suppress(psycopg2.OperationalError):
            while True:
                held.enter_context(closing(connected(stage)))
        yield target


# What is broken, how the finding is called, what is said of it, and what mends it.
Case = tuple[Callable[[Stage, Path], AbstractContextManager[Target]], str, str, str]
CASES: dict[str, Case] = {
    "no proxy": (no_proxy, "A proxy runs", "none for", "cloud-sql-proxy --address=127.0.0.1 --port="),
    "port closed": (port_closed, "The port answers", "though a proxy runs", "; cloud-sql-proxy --address=127.0.0.1"),
    "user credentials expired": (user_expired, "The login of gcloud is valid", "Reauth", "gcloud auth login"),
    "application-default credentials expired": (
        application_expired,
        "The application-default credentials are valid",
        "Reauth",
        "gcloud auth application-default login",
    ),
    "application-default credentials absent": (
        application_absent,
        "The application-default credentials are valid",
        "none on this machine",
        "gcloud auth application-default login",
    ),
    "API disabled": (
        api_disabled,
        "The Cloud SQL Admin API is enabled",
        "not in project rehearsal",
        "gcloud services enable sqladmin.googleapis.com --project=rehearsal",
    ),
    "API disabled, in the newer form": (
        api_disabled_in_the_newer_form,
        "The Cloud SQL Admin API is enabled",
        "not in project rehearsal",
        "gcloud services enable sqladmin.googleapis.com --project=rehearsal",
    ),
    "IAM role missing": (
        role_of_iam_missing,
        "The credentials may see the project's instances",
        "neither holdfast nor the list",
        "--role=roles/cloudsql.viewer",
    ),
    "wrong instance name": (
        wrong_name,
        "The instance exists",
        "no holdfats in project rehearsal; there: holdfast",
        'write "instance": "holdfast"',
    ),
    "instance stopped": (stopped, "The instance runs", "NEVER", "patch holdfast --activation-policy=ALWAYS"),
    "address closed": (address_closed, "The port answers", "is closed", "cloud-sql-proxy --private-ip"),
    "TLS refused": (tls_refused, "TLS is accepted", "sslmode=disable", "versions add api-database-url"),
    "TLS wants a certificate": (
        certificate_wanted,
        "TLS is accepted",
        "the server wants a certificate of the client's",
        "--ssl-mode=ENCRYPTED_ONLY",
    ),
    "certificate not believed": (
        certificate_not_believed,
        "TLS is accepted",
        "not believed",
        "gcloud sql ssl server-ca-certs list --instance=holdfast",
    ),
    "password wrong": (
        password_wrong,
        f"The password of {USER} is right",
        "password authentication failed",
        "holdfast runbook run rotate-password login=api",
    ),
    "role missing": (
        role_missing,
        'Role o\'brien "x" exists',
        "no",
        "gcloud sql users create 'o'\"'\"'brien \"x\"' --instance=holdfast --project=rehearsal",
    ),
    "database missing": (
        database_missing,
        "Database holdfast exists",
        "no",
        "gcloud sql databases create holdfast --instance=holdfast --project=rehearsal; python -m runtime migrate",
    ),
    "pool exhausted": (
        pool_exhausted,
        f"A connection is free for {USER}",
        f"database holdfast may have 1; {USER} by the-api: 1, 1 of them idle",
        "SELECT pg_terminate_backend(pid)",
    ),
    "pool exhausted for everybody": (
        pool_exhausted_for_everybody,
        f"A connection is free for {USER}",
        "the operator gets none either",
        "gcloud sql instances restart holdfast",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_layer_is_the_one_that_is_named(case: str, stage: Stage, home: Path, tmp_path: Path) -> None:
    breaking, test, found, action = CASES[case]
    with breaking(stage, home) as target:
        ended = diagnosed(target, tmp_path)
    assert report.verdict_of(ended) is Verdict.FAULTS, report.page(ended)
    (fault,) = [one for one in report.findings_of(ended) if one.result is Result.FAULT]
    assert (fault.test, found in fault.found, action in fault.action) == (test, True, True), fault
    # All before it was seen to be whole, and nothing after it counts as seen.
    position = report.findings_of(ended).index(fault)
    results = [one.result for one in report.findings_of(ended)]
    assert results == [Result.OK] * position + [Result.FAULT] + [Result.UNKNOWN] * (len(results) - position - 1)
    assert ended.left_to_do[0] == fault.action
    secret = make_url(stage.environment.settings["DATABASE_URL"]).password
    assert not any(one in report.page(ended) for one in (secret, VALID, EXPIRED, "p@ss:w"))


@pytest.mark.parametrize("tokens", [True, False], ids=["with credentials", "on this machine"])
def test_where_all_is_well_nothing_is_found_and_select_1_answers(
    *, tokens: bool, stage: Stage, home: Path, tmp_path: Path
) -> None:
    with with_tokens(stage) if tokens else nullcontext(stage.target) as target:
        ended = diagnosed(target, tmp_path)
    assert report.verdict_of(ended) is Verdict.DONE, report.page(ended)
    tests = [one.test for one in report.findings_of(ended)]
    assert tests[-2:] == [f"SELECT 1 as {USER} answers", "SELECT 1 as postgres answers"]
    assert ("The login of gcloud is valid" in tests) is tokens
    assert home.exists()


def test_through_a_proxy_all_is_well_too(stage: Stage, home: Path, tmp_path: Path) -> None:
    place = stage.tools.place(stage.tools.admin.instances.get(stage.target.instance))
    # The instance without TLS is what a proxy is on this side.
    proxy = Proxy(via="proxy", host=place["host"], port=place["port"])
    ended = diagnosed(stage.target.model_copy(update={"connection": proxy}), tmp_path)
    assert report.verdict_of(ended) is Verdict.DONE, report.page(ended)
    assert home.exists()


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("There was a problem refreshing your current auth tokens: Reauthentication failed.", Result.FAULT),
        ("You do not currently have an active account selected.", Result.OK),
        ("There was a problem refreshing your current auth tokens: Could not reach the server", Result.UNKNOWN),
        ("", Result.OK),
    ],
)
def test_gcloud_itself_is_asked_where_it_is_installed(
    said: str, result: Result, stage: Stage, home: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    # With the words of the real one, which exits with 1 then.
    lines = (f"ERROR: (gcloud.auth.print-access-token) {said}", "Please run:", "", "  $ gcloud auth login")
    script = f"cat >&2 <<'END'\n{os.linesep.join(lines)}\nEND\nexit 1" if said else "echo ya29.a-token"
    program.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "$*" "$CLOUDSDK_AUTH_TOKEN_HOST" >>"{home}/asked"\n{script}\n'
    )
    program.chmod(0o700)
    with with_tokens(stage) as target:
        ended = diagnosed(target, tmp_path)
    # Google's library asks it too, for a project's name.
    assert (home / "asked").read_text().startswith(f"auth print-access-token {target.endpoints.tokens}\n")
    found = next(one for one in report.findings_of(ended) if one.test == "The login of gcloud is valid")
    assert found.result is result
    assert "ya29" not in report.page(ended)
