"""verify-backup on a Sunday: a marker of the night, the backup, and rows that came after it."""

from runbooks.engine.records import Ended
from runbooks.engine.report import Verdict, verdict_of
from runbooks.procedures.verify_backup import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

MARKER = "INSERT INTO recovery_markers (written_at) VALUES (now() - interval '1 minute')"
FEEDBACK = "INSERT INTO insight_feedback (insight_id, user_id, comment) VALUES ('late', 'late', '')"
VERIFIED = "SELECT verdict, codes, (measures -> 'rows' ->> 'experiments')::int FROM backup_verifications"
AUDITED = "SELECT count(*) FROM audit_log WHERE action = 'backup.verify'"
COUNT = "SELECT count(*)::int FROM experiments"


def prepare(stage: Stage) -> Asked:
    """The night goes by."""
    _write(stage, MARKER)
    admin, name = stage.tools.admin, stage.target.instance
    admin.wait(admin.backup_runs.insert(name, description="nightly"))
    _write(stage, FEEDBACK)
    return Asked()


def check(stage: Stage, ended: Ended) -> None:
    """The verdict is written down, and nothing is left; the source was only read."""
    is_whole = verdict_of(ended) is Verdict.DONE
    rows = stage.query(COUNT)[0][0]
    found = stage.query(VERIFIED)
    holds = found == [("passed", [], rows)] if is_whole else [one[0] for one in found] == ["incomplete"]
    stage.expect("the verdict is in the database", holds=holds, found=found)
    stage.expect("and in the audit log", holds=stage.query(AUDITED) == [(1,)])
    admin = stage.tools.admin
    left = [one.name for one in admin.instances.list()]
    # What could not be deleted is said, and the next run sweeps it.
    stage.expect("no instance is left behind", holds=not is_whole or left == [stage.target.instance], found=left)
    begun = [
        one.operation_type
        for one in admin.operations.list(stage.target.instance)
        if one.insert_time and one.insert_time >= ended.started_at
    ]
    stage.expect("nothing was begun on the source", holds=not begun, found=begun)


def _write(stage: Stage, statement: str) -> None:
    with stage.tools.connect() as opened, opened.cursor() as cursor:
        cursor.execute(statement)


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
