"""backup-now before a change that goes wrong: what was written before it can be had back."""

from runbooks.engine.records import Ended
from runbooks.procedures.backup_now import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

COUNT = "SELECT count(*) FROM experiments"


def prepare(stage: Stage) -> Asked:
    """Nothing is wrong yet."""
    stage.expect("there are rows", holds=stage.query(COUNT)[0][0] > 0)
    return Asked(reason="before release 42")


def check(stage: Stage, ended: Ended) -> None:
    """The backup is restored in place of rows that were lost since."""
    output = ended.records[0].output or {}
    before = stage.query(COUNT)
    with stage.tools.connect() as opened, opened.cursor() as cursor:
        cursor.execute("DELETE FROM experiments")
    admin, name = stage.tools.admin, stage.target.instance
    admin.wait(admin.instances.restore_backup(name, backup_run=output["backup_run"]))
    stage.expect("the rows are there again", holds=stage.query(COUNT) == before, found=stage.query(COUNT))


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
