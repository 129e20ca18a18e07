"""verify-backup: the newest backup, restored into a throwaway instance and looked at; the verdict is written down."""

import datetime as dt
import time

import psycopg2
from pydantic import AwareDatetime, Field, SecretStr
from sqlalchemy import create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.engine.target import Login
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import BackupRun, Instance
from runtime.errors import first_line
from runtime.platform.models import BackupVerification
from runtime.verification import moments, names, source, throwaway
from runtime.verification.checks import Check, Code, Outcome, failed, passed, unknown
from runtime.verification.expectation import TOLERANCE, Expectation
from runtime.verification.gate import examine
from runtime.verification.record import Verification, last_passed, record

RESULTS = {Outcome.PASSED: Result.OK, Outcome.FAILED: Result.FAULT, Outcome.UNKNOWN: Result.UNKNOWN}
BACKUP_AGAIN = "holdfast runbook run backup-now"


class Asked(Inputs):
    """What is asked."""

    stale_hours: float = Field(default=28.0, gt=0, description="after how many hours the newest backup is stale")
    drift: float = Field(default=TOLERANCE, ge=0, lt=1, description="what part of a table's rows may differ")


class Chosen(Output):
    """The backup."""

    backup_run: int
    began_at: AwareDatetime
    ended_at: AwareDatetime
    checks: tuple[Check, ...]


class Restored(Output):
    """The throwaway instance; what of it can be looked at."""

    is_whole: bool
    checks: tuple[Check, ...]


class Examined(Output):
    """What the gate said."""

    checks: tuple[Check, ...]


class Deleted(Output):
    """Whether the throwaway instance is gone."""

    checks: tuple[Check, ...]


def there_is_a_backup(run: Run) -> None:
    """The instance has a backup that succeeded."""
    if run.done(Chosen):
        return
    found = throwaway.newest_backup(run.tools.admin, run.target.instance)
    run.require(
        f"{run.target.instance} has a backup that succeeded",
        f"{found.id}, ended {found.end_time}" if found else "none",
        BACKUP_AGAIN,
        holds=found is not None,
    )


def sweep(run: Run) -> None:
    """Delete the throwaway instances that others left behind more than two hours ago."""
    now = dt.datetime.now(dt.UTC)
    gone, left = throwaway.sweep(run.tools.admin, run.target.instance, now=now, progress=run.progress)
    for name in gone:
        run.find(f"{name} was left behind", Result.MENDED, "older than two hours", "it is deleted")
    for name in left:
        run.find(f"{name} was left behind", Result.FAULT, "it is there still", f"gcloud sql instances delete {name}")


def choose(run: Run) -> Chosen:
    """Take the newest backup that succeeded, and see how old it is."""
    backup = _newest(run)
    began_at, ended_at = _times(backup)
    limit = dt.timedelta(hours=run.inputs(Asked).stale_hours)
    check = moments.backup_age(ended_at, dt.datetime.now(dt.UTC), limit=limit)
    _note(run, check)
    return Chosen(backup_run=backup.id, began_at=began_at, ended_at=ended_at, checks=(check,))


def restore(run: Run) -> Restored:
    """Restore it into a throwaway instance, until the application's logins connect."""
    began = time.monotonic()
    checks: list[Check] = []
    made = _restored(run, checks)
    is_whole = made is not None and made.state == "RUNNABLE"
    if is_whole:
        checks += [_connects(run, login) for login in run.target.logins]
        seconds = time.monotonic() - began
        checks.append(moments.recovery_time(seconds, limit=run.target.objectives.rto_seconds))
        run.measured(rto_seconds=seconds)
    for check in checks:
        _note(run, check)
    return Restored(is_whole=is_whole, checks=tuple(checks))


def look(run: Run) -> Examined:
    """Let it pass the gate: structure, rows, sequences, every page; held to what the source says."""
    if not run.output(Restored).is_whole:
        return Examined(checks=())
    checks: list[Check] = []
    expected = _expected(run, checks)
    try:
        with run.tools.connect(_name(run)) as opened:
            checks += examine(opened, expected, progress=run.progress)
    except psycopg2.Error as error:
        checks.append(unknown(names.CONNECTED, first_line(error), "holdfast runbook run diagnose-connection"))
    for check in checks:
        _note(run, check)
    return Examined(checks=tuple(checks))


def delete(run: Run) -> Deleted:
    """Delete the throwaway instance, and see that it is gone."""
    name = _name(run)
    action = f"gcloud sql instances delete {name}"
    try:
        is_gone = throwaway.delete(run.tools.admin, name, run.progress)
    except CloudSqlError as error:
        check = unknown(names.DELETED, str(error), action)
    else:
        still = failed(names.DELETED, Code.THROWAWAY_LEFT, f"{name} is there", action)
        check = passed(names.DELETED, name) if is_gone else still
    _note(run, check)
    return Deleted(checks=(check,))


def write_down(run: Run) -> None:
    """Write the verdict into the database, and into its audit log."""
    chosen = run.output(Chosen)
    outputs = (chosen, run.output(Restored), run.output(Examined), run.output(Deleted))
    verification = Verification(
        instance=run.target.instance,
        backup=BackupRun(id=chosen.backup_run, end_time=chosen.ended_at),
        started_at=run.started_at,
        ended_at=dt.datetime.now(dt.UTC),
        checks=[check for output in outputs for check in output.checks],
    )
    with run.tools.connect() as opened:
        # Both or neither.
        opened.autocommit = False
        engine = create_engine("postgresql+psycopg2://", creator=lambda: opened, poolclass=StaticPool)
        with engine.begin() as connection:
            ours = select(BackupVerification.id).where(BackupVerification.started_at == run.started_at)
            if connection.scalar(ours) is None:
                record(connection, verification, actor=run.target.operator.user)
    run.progress(f"written down: {verification.verdict.value}")


def _restored(run: Run, checks: list[Check]) -> Instance | None:
    # Whatever comes of it is a check: the throwaway instance has to be deleted, and the verdict written down.
    try:
        backup = run.tools.admin.backup_runs.get(run.target.instance, run.output(Chosen).backup_run)
        made = throwaway.restore(run.tools.admin, run.instance(), backup, _name(run), run.progress)
    except throwaway.RestoreFailedError as error:
        checks.append(failed(names.RESTORED, Code.RESTORE_FAILED, str(error), names.VERIFY_ANOTHER))
        return None
    except CloudSqlError as error:
        checks.append(unknown(names.RESTORED, str(error), names.TRY_AGAIN))
        return None
    checks.append(passed(names.RESTORED, f"into {made.name}"))
    if made.state != "RUNNABLE":
        checks.append(failed(names.RUNNABLE, Code.NOT_RUNNABLE, made.state, names.SEE_OPERATIONS))
        return made
    checks.append(passed(names.RUNNABLE, made.state))
    return made


def _expected(run: Run, checks: list[Check]) -> Expectation:
    chosen = run.output(Chosen)
    try:
        with run.tools.connect() as opened:
            engine = create_engine("postgresql+psycopg2://", creator=lambda: opened, poolclass=StaticPool)
            with engine.connect() as connection:
                last = last_passed(connection, run.target.instance)
                connection.rollback()
                return source.expectation(
                    opened,
                    began_at=chosen.began_at,
                    ended_at=chosen.ended_at,
                    tolerance=run.inputs(Asked).drift,
                    minimums={},
                    last=last,
                )
    except psycopg2.Error as error:
        checks.append(unknown(names.EXPECTED, first_line(error), "try again when the source's database answers"))
        return Expectation()


def _connects(run: Run, login: Login) -> Check:
    url = make_url(run.tools.secrets.newest(login.secret).get_secret_value())
    try:
        with run.tools.connect(_name(run), user=url.username, password=SecretStr(url.password or "")) as opened:
            opened.cursor().execute("SELECT 1")
    except psycopg2.Error as error:
        return failed(names.LOGIN, Code.APPLICATION_REFUSED, first_line(error), names.SET_PASSWORD)
    return passed(names.LOGIN, f"{login.name}, as {url.username}")


def _newest(run: Run) -> BackupRun:
    found = throwaway.newest_backup(run.tools.admin, run.target.instance)
    run.require("There is a backup", str(found.id) if found else "none", BACKUP_AGAIN, holds=found is not None)
    assert found is not None  # noqa: S101  # required
    return found


def _times(backup: BackupRun) -> tuple[dt.datetime, dt.datetime]:
    assert backup.end_time is not None  # noqa: S101  # one that succeeded
    return backup.start_time or backup.end_time, backup.end_time


def _name(run: Run) -> str:
    return f"{run.target.instance}-throwaway-{run.short_id}"


def _note(run: Run, check: Check) -> None:
    run.find(check.name, RESULTS[check.outcome], check.found, check.action)


def _plan_sweep(run: Run) -> Change:
    found = throwaway.orphans(run.tools.admin, run.target.instance, now=dt.datetime.now(dt.UTC))
    return Change(f"left behind: {', '.join(found) or 'none'}", "none")


def _plan_choose(run: Run) -> Change:
    backup = _newest(run)
    return Change(f"the newest backup is {backup.id}, ended {backup.end_time}", "the same")


def _plan_restore(run: Run) -> Change:
    return Change(f"no instance {_name(run)}", f"one with the backup in it; {run.target.instance} is only read")


def _plan_look(_: Run) -> Change:
    return Change("not looked at", "every check of the gate, reading only")


def _plan_delete(run: Run) -> Change:
    return Change(f"{_name(run)} is there", "it is deleted")


def _plan_write(run: Run) -> Change:
    return Change(
        "nothing is written down", f"a row of backup_verifications in {run.target.instance}, and an audit entry"
    )


PROCEDURE = Procedure(
    name="verify-backup",
    title="See that the newest backup can be restored, and is whole",
    when="Each Sunday by itself (python -m runtime verify-backup); by hand before anybody relies on a backup, and "
    "after a verification that failed or was incomplete.",
    inputs=Asked,
    preconditions=(there_is_a_backup,),
    steps=(
        Step("sweep", sweep, _plan_sweep, changes=("throwaway.delete",)),
        Step("choose", choose, _plan_choose),
        Step("restore", restore, _plan_restore, changes=("instances.insert", "throwaway.restoreBackup")),
        Step("examine", look, _plan_look),
        Step("delete", delete, _plan_delete, changes=("throwaway.delete",)),
        Step("record", write_down, _plan_write, changes=("database.write",)),
    ),
)
