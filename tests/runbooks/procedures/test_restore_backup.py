"""restore-backup: over the present data, which can be undone, or beside it; and not what would not do."""

from typing import Any

import psycopg2
import pytest
from pydantic import SecretStr

from runbooks.engine.findings import Result
from runbooks.engine.records import State
from runbooks.engine.report import Verdict, verdict_of
from runbooks.procedures.restore_backup import PROCEDURE, Asked
from runbooks.rehearsal import pointed
from runbooks.rehearsal.rehearsal import judged
from runbooks.rehearsal.scenarios.restore_backup import REHEARSAL, ROWS
from runbooks.rehearsal.stage import Stage
from runtime.cloudsql.errors import OperationFailedError
from tests.runbooks.procedures.runs import Runs, changes


@pytest.fixture
def runs(stage: Stage) -> Runs:
    return Runs(PROCEDURE, stage)


def restores(stage: Stage, instance: str = "holdfast") -> int:
    found = stage.tools.admin.operations.list(instance)
    return sum(one.operation_type == "RESTORE_VOLUME" and not one.error for one in found)


def as_application(stage: Stage) -> list[tuple[Any, ...]]:
    opened = psycopg2.connect(stage.tools.secrets.newest(stage.target.logins[0].secret).get_secret_value())
    try:
        with opened.cursor() as cursor:
            cursor.execute(ROWS)
            return cursor.fetchall()
    finally:
        opened.close()


def test_in_place_and_from_its_safety_backup_into_another_instance(runs: Runs) -> None:
    stage = runs.stage
    inputs = REHEARSAL.prepare(stage)
    spoiled = stage.query(ROWS)
    ended = runs.begin(inputs)
    assert judged(REHEARSAL, stage, ended) == ""
    restored = stage.query(ROWS)
    safety = next(record.output for record in ended.records if record.step == "save")
    assert safety is not None

    with stage.tools.connect() as opened, opened.cursor() as cursor:
        cursor.execute("INSERT INTO recovery_markers DEFAULT VALUES")
    other = runs.begin(Asked(backup=str(safety["backup_run"])))

    assert verdict_of(other) is Verdict.DONE
    assert (as_application(stage), stage.query(ROWS)) == (spoiled, restored)
    made = stage.tools.admin.instances.get(f"holdfast-restored-{other.run.rpartition('-')[2]}")
    pointed.see_moved(stage, made.name)
    source = stage.tools.admin.instances.get("holdfast")
    assert made.settings.tier == source.settings.tier
    assert made.settings.availability_type == "REGIONAL"
    assert made.settings.backup_configuration == source.settings.backup_configuration


def test_it_refuses_and_plans_without_a_change(runs: Runs) -> None:
    stage = runs.stage
    admin = stage.tools.admin
    source = admin.instances.get("holdfast")
    stage.fault("backupRuns.insert:error=INTERNAL_ERRORx1")
    with pytest.raises(OperationFailedError):
        admin.wait(admin.backup_runs.insert("holdfast"))
    [broken] = [one.id for one in admin.backup_runs.list("holdfast") if one.status == "FAILED"]
    replica = admin.instances.insert(
        "reader",
        database_version=source.database_version,
        region=source.region,
        tier=source.settings.tier,
        edition="ENTERPRISE",
        deletion_protection=False,
        primary="holdfast",
    )
    admin.wait(replica)
    before, rows = changes(stage), stage.query(ROWS)

    in_place = runs.begin(Asked(place="in-place"))
    assert in_place.state is State.REFUSED
    assert "has no replicas: no, reader; delete them first: gcloud sql instances delete reader" in in_place.message
    assert "is whole: no, FAILED; choose one that is SUCCESSFUL" in runs.begin(Asked(backup=str(broken))).message
    assert "Backup 42 of holdfast is there: no" in runs.begin(Asked(backup="42")).message
    plan = runs.plan(Asked())
    assert "make" in plan
    assert "overwrite" not in plan
    assert (changes(stage), stage.query(ROWS)) == (before, rows)
    assert runs.journal.entries() == []


def test_a_failed_and_a_killed_restore_happen_once(runs: Runs) -> None:
    stage = runs.stage
    inputs = REHEARSAL.prepare(stage)
    spoiled = stage.query(ROWS)
    stage.fault("instances.restoreBackup:error=INTERNAL_ERRORx1")
    failed = runs.begin(inputs)
    assert (failed.records[-1].step, failed.records[-1].code) == ("overwrite", "INTERNAL_ERROR")
    assert stage.query(ROWS) == spoiled
    # Somebody moved it by hand.
    pointer, told = stage.target.services[0].secret, "rehearsal:us-central1:holdfast"
    stage.tools.secrets.add(pointer, SecretStr(f"{told}-old"))
    shut_out = runs.resume()
    assert (shut_out.records[-1].step, shut_out.records[-1].code) == ("serve", "APPLICATION_SHUT_OUT")
    [wrong] = [one for one in shut_out.records[-1].findings if one.result is Result.FAULT]
    assert wrong.action == f"printf %s {told} | gcloud secrets versions add {pointer} --data-file=-"
    stage.tools.secrets.add(pointer, SecretStr(told))
    ended = runs.resume()
    assert ended.state is State.DONE, ended.message
    assert stage.query(ROWS) != spoiled
    assert restores(stage) == 1

    backup = str(runs.journal.entries()[0].steps[0]["output"]["backup_run"])
    begun = restores(stage)
    runs.kill(f"backup={backup}", "place=in-place", when=lambda: restores(stage) > begun)
    killed = runs.resume()
    assert killed.state is State.DONE, killed.message
    assert restores(stage) == begun + 1
    saved = [one for one in stage.tools.admin.backup_runs.list("holdfast") if one.description == killed.run]
    assert len(saved) == 1
