"""The gate: what a recovered instance has to pass before anybody is sent to it."""

import datetime as dt

import psycopg2
from pydantic import AwareDatetime

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Output
from runbooks.engine.run import Run
from runtime.db.roles import EXTENSIONS
from runtime.errors import first_line
from runtime.verification.checks import Check, Code, Outcome, judged
from runtime.verification.expectation import Bracket, Expectation, Volumes
from runtime.verification.freshness import last_marker
from runtime.verification.gate import examine
from runtime.verification.moments import recovery_time
from runtime.verification.source import extensions, revision_at
from runtime.verification.volumes import count_rows

RESULTS = {Outcome.PASSED: Result.OK, Outcome.FAILED: Result.FAULT, Outcome.UNKNOWN: Result.UNKNOWN}
NEXT_MARKER = "SELECT min(written_at) FROM recovery_markers WHERE written_at > %s"
BEYOND = "What was written after the moment could come along, and did not"
# Of a backup that was verified: it has these rows, and no others.
RECORDED = """SELECT ended_at, measures -> 'rows' FROM backup_verifications
WHERE backup_run_id = %s AND instance = %s AND verdict = 'passed' ORDER BY ended_at DESC LIMIT 1"""


class Witness(Output):
    """What the source says of how the recovered data has to be.

    Attributes:
        revision: of the schema at that time, if it knows.
        extensions: that it has.
        rows: by table, that were made before and are still there.
        marker: the last one before.
        next_marker: the first one after.
        recorded: rows by table as an earlier verification of the same backup counted them.
    """

    revision: str | None
    extensions: tuple[str, ...]
    rows: dict[str, int]
    marker: AwareDatetime | None
    next_marker: AwareDatetime | None
    recorded: dict[str, int] | None = None


def witness(run: Run, start: dt.datetime, until: dt.datetime, *, backup_run: int | None = None) -> Witness | None:
    """Ask the target's instance; None when it does not tell.

    Args:
        run: this one.
        start: when the recovered data ends, at the earliest.
        until: at the latest.
        backup_run: which backup is to be restored.
    """
    try:
        with run.tools.connect() as opened, opened.cursor() as cursor:
            cursor.execute(NEXT_MARKER, (until,))
            [(following,)] = cursor.fetchall()
            recorded = []
            if backup_run is not None:
                cursor.execute(RECORDED, (backup_run, run.target.instance))
                recorded = cursor.fetchall()
            return Witness(
                revision=revision_at(opened, start),
                extensions=extensions(opened),
                rows=count_rows(opened, made_before=start),
                marker=last_marker(opened, start),
                next_marker=following,
                recorded=recorded[0][1] if recorded else None,
            )
    except psycopg2.Error as error:
        run.progress(f"{run.target.instance}: {first_line(error)}")
        return None


def pass_gate(run: Run, instance: str, until: dt.datetime, source: Witness | None) -> None:
    """See that a recovered instance is sound, and ends where it should.

    Args:
        run: this one.
        instance: the recovered one.
        until: no marker after it may be there.
        source: what the source says; None when it does not tell.

    Raises:
        FailedError: a check failed; by the first one's code.
    """
    state = run.instance(instance).state
    faults = [] if state == "RUNNABLE" else [state]
    action = f"gcloud sql operations list --instance={instance}"
    checks = [judged(f"{instance} is RUNNABLE", faults, Code.NOT_RUNNABLE, action, otherwise=state)]
    if not faults:
        try:
            with run.tools.connect(instance) as opened:
                revision = source.revision if source else revision_at(opened, until)
                checks += examine(opened, _expected(run, until, revision, source), progress=run.progress)
        except psycopg2.Error as error:
            code = "DATABASE_UNREACHABLE"
            message = f"{instance}: {first_line(error)}"
            raise FailedError(code, message) from None
    for check in checks:
        _note(run, check)
    if source is not None:
        _note_beyond(run, source, until)
    failed = next((check for check in checks if check.outcome is Outcome.FAILED), None)
    if failed is not None:
        message = f"{instance} is kept, and nobody is sent to it: {failed.name}: no, {failed.found}"
        raise FailedError(str(failed.code), message)


def note_time(run: Run) -> None:
    """Measure how long recovery took until now, against what is promised."""
    seconds = (dt.datetime.now(dt.UTC) - run.started_at).total_seconds()
    _note(run, recovery_time(seconds, limit=run.target.objectives.rto_seconds))
    run.measured(rto_seconds=seconds)


def _expected(run: Run, until: dt.datetime, revision: str | None, source: Witness | None) -> Expectation:
    volumes = []
    if source is not None:
        # What went wrong since may have taken away more.
        volumes.append(Volumes(f"the older rows in {run.target.instance}", source.rows, may_exceed=None))
    if source is not None and source.recorded is not None:
        volumes.append(Volumes("its verification", source.recorded, tolerance=0.0))
    return Expectation(
        revision=revision,
        databases=(run.target.database,),
        extensions=source.extensions if source else EXTENSIONS,
        volumes=volumes,
        bracket=Bracket(marker=source.marker if source else None, until=until),
        # People wait. The weekly verification compares each index with its table.
        is_deep=False,
    )


def _note(run: Run, check: Check) -> None:
    run.find(check.name, RESULTS[check.outcome], check.found, check.action)


def _note_beyond(run: Run, source: Witness, until: dt.datetime) -> None:
    if source.next_marker is not None:
        found = f"{run.target.instance} has a marker of {source.next_marker.isoformat()}"
        run.find(BEYOND, Result.OK, found)
    else:
        found = f"{run.target.instance} has no marker after {until.isoformat()}, so none could be missing"
        run.find(BEYOND, Result.UNKNOWN, found, "look at the newest rows of a table that you know")
