"""A migration that spoils every row, found out late: the backup from before it is restored over it."""

from dataclasses import dataclass, field
from typing import Any

from runbooks.engine.records import Ended
from runbooks.procedures.restore_backup import PROCEDURE, Asked
from runbooks.rehearsal import pointed
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

ROWS = "SELECT id, name, status, result_value, created_at FROM experiments ORDER BY id"
# One a minute, as the platform writes them: that of the last minute, and then the next.
MARKED = "INSERT INTO recovery_markers (written_at) VALUES (now() - %s * interval '1 second')"
SPOILED = "UPDATE experiments SET result_value = result_value * 1000, name = 'migrated'"
NEW = "INSERT INTO experiments (id, name, status) VALUES ('written-since', 'since', 'pending')"


@dataclass
class Day:
    """One such day.

    Attributes:
        expected: the rows of before.
    """

    expected: list[tuple[Any, ...]] = field(default_factory=list)

    def prepare(self, stage: Stage) -> Asked:
        """There is a backup; a migration spoils all rows, and the application goes on."""
        with stage.tools.connect() as opened, opened.cursor() as cursor:
            cursor.execute(MARKED, (30,))
        self.expected = stage.query(ROWS)
        admin = stage.tools.admin
        admin.wait(admin.backup_runs.insert(stage.target.instance, description="nightly"))
        with stage.tools.connect() as opened, opened.cursor() as cursor:
            cursor.execute(SPOILED)
            cursor.execute(NEW)
            cursor.execute(MARKED, (0,))
        return Asked(place="in-place")

    def check(self, stage: Stage, ended: Ended) -> None:
        """Every row is as it was, and the spoiled state can be had back from the backup that was taken of it."""
        found = stage.query(ROWS)
        stage.expect("every row is as it was before", holds=found == self.expected, found=len(found))
        outputs = {record.step: record.output or {} for record in ended.records}
        safety = outputs["save"]["backup_run"]
        kept = {one.id: one.status for one in stage.tools.admin.backup_runs.list(stage.target.instance)}
        stage.expect("the state before the restore is in a backup", holds=kept.get(safety) == "SUCCESSFUL", found=kept)
        # Nobody is sent anywhere.
        pointed.see_moved(stage, stage.target.instance)
        lost = [one.found for record in ended.records if record.step == "account" for one in record.findings]
        stage.expect("what came after is told", holds=any("1 in experiments" in one for one in lost), found=lost)


_day = Day()
REHEARSAL = Rehearsal(PROCEDURE, _day.prepare, _day.check)
