"""verify-backup: the procedure, killed and failed; and the job of the same functions, as the Scheduler starts it."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, text

from runbooks.engine import report
from runbooks.engine.report import Verdict as Outcome
from runbooks.procedures.verify_backup import PROCEDURE, Asked
from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.verify_backup import REHEARSAL
from runbooks.rehearsal.stage import Stage
from runtime.db.engine import engine_at
from runtime.jobs.verification import ADVISORY_LOCK
from runtime.verification.throwaway import sweep
from tests.runbooks.procedures.runs import Runs, changes
from tests.running import DEADLINE, clean_environment
from tests.waiting import wait_until

NEWEST = """SELECT verdict, codes, measures -> 'rto_seconds' IS NOT NULL FROM backup_verifications
ORDER BY ended_at DESC LIMIT 1"""
COUNT = "SELECT count(*)::int FROM backup_verifications"


@pytest.fixture(scope="module")
def sunday(base: tuple[Path, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One sandbox for all, on the morning after its nightly backup."""
    with stages.stage(tmp_path_factory.mktemp("sunday"), *base) as made:
        REHEARSAL.prepare(made)
        yield made


@pytest.fixture
def runs(sunday: Stage) -> Runs:
    return Runs(PROCEDURE, sunday)


@pytest.fixture
def runtime(sunday: Stage) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs the job to its end: its exit code and what it says."""

    def run(**settings: str) -> tuple[int, dict[str, Any]]:
        with job(sunday, **settings) as process:
            said, told = process.communicate(timeout=DEADLINE)
        assert said.count("\n") == 1, told
        return process.returncode, json.loads(said)

    return run


@contextmanager
def job(stage: Stage, **settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "runtime", "verify-backup", "--json"],
        env=clean_environment() | settings_of(stage) | settings,
        cwd=stage.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def settings_of(stage: Stage) -> dict[str, str]:
    """The container's settings, for where the copy of the environment is."""
    target = stage.target
    place = stage.tools.place(stage.tools.admin.instances.get(target.instance))
    at = {"host": place["host"], "port": place["port"]}
    return {
        name: make_url(value).set(**at).render_as_string(hide_password=False) if name.endswith("_URL") else value
        for name, value in stage.environment.settings.items()
    } | {
        "VERIFY_SQL_INSTANCE": f"{target.project}:{target.region}:{target.instance}",
        "CLOUD_SQL_ADMIN_ENDPOINT": stage.endpoints["sql"],
    }


def throwaways(stage: Stage) -> list[str]:
    return [one.name for one in stage.tools.admin.instances.list() if one.name != stage.target.instance]


@contextmanager
def recording(url: str) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """A way to a server on which each request is seen: method, path, body."""
    seen: list[tuple[str, str, Any]] = []

    class Forward(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.command, self.path, json.loads(body) if body else None))
            kept = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            answer = httpx.request(
                self.command, url + self.path, content=body, headers=kept, timeout=60, trust_env=False
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward  # noqa: N815  # the library's names

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- The job ---------------------------------------------------------------------------------------------------------


def test_a_healthy_backup_passes_and_the_source_is_only_read(
    sunday: Stage, runtime: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    with recording(sunday.endpoints["sql"]) as (url, seen):
        code, said = runtime(CLOUD_SQL_ADMIN_ENDPOINT=url)
    assert (code, said["verdict"], said["codes"]) == (0, "passed", []), said
    assert said["measures"]["rows"]["experiments"] == 500
    assert sunday.query(NEWEST) == [("passed", [], True)]
    audited = sunday.query("SELECT detail FROM audit_log WHERE action = 'backup.verify' ORDER BY id DESC LIMIT 1")
    assert audited == [({"verdict": "passed", "codes": [], "backup_run_id": str(said["backup_run_id"])},)]
    written = [(method, path, body) for method, path, body in seen if method != "GET"]
    [(_, _, made), (_, restored, _), (method, deleted, _)] = written
    name = made["name"]
    assert (method, restored.split("/")[-2], deleted.split("?")[0].split("/")[-1]) == ("DELETE", name, name)
    assert name.startswith(f"{sunday.target.instance}-throwaway-")
    assert made["settings"]["userLabels"] == {"purpose": "holdfast-throwaway"}
    assert throwaways(sunday) == []


def test_what_is_wrong_with_the_backup_and_with_the_day_is_found_in_one_run(
    sunday: Stage, runtime: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    # When it last passed there were more rows: the source has lost them, and so has its backup.
    with sunday.tools.connect() as opened, opened.cursor() as cursor:
        cursor.execute(
            "INSERT INTO backup_verifications (instance, started_at, verdict, codes, measures, verified_by) "
            "VALUES ('holdfast', now(), 'passed', '{}', '{\"rows\": {\"experiments\": 5000}}', 'system')"
        )
    code, said = runtime(
        VERIFY_STALE_HOURS="0.000001", VERIFY_RTO_SECONDS="0.001", VERIFY_MINIMUM_ROWS="experiments=501"
    )
    sunday.query("DELETE FROM backup_verifications WHERE measures -> 'rows' ->> 'experiments' = '5000' RETURNING 1")
    codes = ["BACKUP_STALE", "RTO_EXCEEDED", "VOLUME_BELOW_MINIMUM", "VOLUME_DRIFT"]
    assert (code, said["verdict"], said["codes"]) == (5, "failed", codes), said
    assert sunday.query(NEWEST)[0][:2] == ("failed", codes)
    assert throwaways(sunday) == []


def test_a_backup_that_cannot_be_asked_for_or_made_use_of_is_no_pass(
    sunday: Stage, runtime: Callable[..., tuple[int, dict[str, Any]]]
) -> None:
    code, said = runtime(VERIFY_SQL_INSTANCE="rehearsal:us-central1:nowhere")
    assert (code, said["verdict"], said["codes"]) == (6, "incomplete", [])
    sunday.fault("instances.insert:error=QUOTA_EXCEEDEDx1")
    code, said = runtime()
    assert (code, said["verdict"], said["codes"]) == (6, "incomplete", []), said
    assert "QUOTA_EXCEEDED" in said["checks"][1]["found"]
    assert sunday.query(NEWEST) == [("incomplete", [], False)]
    assert throwaways(sunday) == []


def test_two_at_once_are_one(sunday: Stage) -> None:
    engine = engine_at(make_url(settings_of(sunday)["JOBS_DATABASE_URL"]), application_name="test")
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
        with job(sunday) as process:
            _, told = process.communicate(timeout=DEADLINE)
    engine.dispose()
    assert process.returncode == 1
    assert told.startswith("holdfast: another verification of this database is under way;")


def test_one_that_is_told_to_end_deletes_its_instance_and_one_that_is_killed_leaves_it_to_the_next(
    sunday: Stage,
) -> None:
    known = sunday.query(COUNT)
    for ending, code in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        with job(sunday) as process:
            wait_until(lambda: throwaways(sunday))
            process.send_signal(ending)
            process.communicate(timeout=DEADLINE)
        assert process.returncode == code
        assert bool(throwaways(sunday)) == (ending is signal.SIGKILL)
    admin, now, told = sunday.tools.admin, datetime.now(UTC), list[str]()
    [orphan] = throwaways(sunday)
    wait_until(lambda: all(operation.is_done for operation in admin.operations.list(orphan)))
    assert sweep(admin, sunday.target.instance, now=now, progress=told.append) == ([], [])
    later = now + timedelta(hours=2, minutes=1)
    assert sweep(admin, "hold", now=later, progress=told.append) == ([], [])
    assert sweep(admin, sunday.target.instance, now=later, progress=told.append) == ([orphan], [])
    assert throwaways(sunday) == []
    assert sunday.query(COUNT) == known


# --- The procedure ---------------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_goes_on_and_a_dry_run_touches_nothing(runs: Runs) -> None:
    stage = runs.stage
    before = changes(stage)
    assert runs.plan(Asked())["delete"] == "it is deleted"
    assert changes(stage) == before
    stage.query("DELETE FROM backup_verifications RETURNING 1")
    stage.query("DELETE FROM audit_log WHERE action = 'backup.verify' RETURNING 1")
    runs.kill(when=lambda: throwaways(stage))

    ended = runs.resume()

    assert judged(REHEARSAL, stage, ended) == ""
    assert report.document(ended)["rto_s"] > 0


def test_a_corrupted_backup_is_found_and_the_instance_deleted_all_the_same(runs: Runs) -> None:
    stage = runs.stage
    stage.fault("backupRuns.insert:corruptx1")
    admin = stage.tools.admin
    admin.wait(admin.backup_runs.insert(stage.target.instance))
    ended = runs.begin(Asked())
    assert report.verdict_of(ended) is Outcome.FAULTS
    assert [one.test for one in report.open_findings(ended)] == ["The backup can be restored"]
    assert stage.query(NEWEST) == [("failed", ["RESTORE_FAILED"], False)]
    assert throwaways(stage) == []
