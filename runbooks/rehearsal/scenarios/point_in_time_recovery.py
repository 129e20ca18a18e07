"""DELETE without WHERE at a known moment: everything until just before it comes back, and applications read it."""

from dataclasses import dataclass, field
from typing import Any

import psycopg2

from runbooks.engine.records import Ended
from runbooks.procedures.point_in_time_recovery import PROCEDURE, Asked
from runbooks.procedures.recovered import Recovered
from runbooks.rehearsal import pointed
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

Row = tuple[Any, ...]

EXPERIMENTS = "SELECT id, name, status, result_value, created_at FROM experiments ORDER BY id"
NEW = "INSERT INTO experiments (id, name, status) VALUES (%s, %s, 'pending')"
# One a minute, as the platform writes them: that of the last minute, and then the next.
MARKED = "INSERT INTO recovery_markers (written_at) VALUES (now() - %s * interval '1 second')"
BEFORE, AFTER = "written-before", "written-after"


@dataclass
class Day:
    """One such day.

    Attributes:
        expected: the rows of the moment.
    """

    expected: list[Row] = field(default_factory=list)

    def prepare(self, stage: Stage) -> Asked:
        """Rows are written, all are deleted, and more are written before anybody notices."""
        with stage.tools.connect() as opened, opened.cursor() as cursor:
            cursor.execute(MARKED, (30,))
            cursor.execute(NEW, (BEFORE, "the last one before"))
            cursor.execute(EXPERIMENTS)
            self.expected = cursor.fetchall()
            cursor.execute("SELECT clock_timestamp()")
            [(moment,)] = cursor.fetchall()
            cursor.execute("DELETE FROM experiments")
            cursor.execute(NEW, (AFTER, "the first one after"))
            cursor.execute(MARKED, (0,))
        return Asked(moment=moment)

    def check(self, stage: Stage, ended: Ended) -> None:
        """Through the application's own URL: all that was there before is there, and nothing that came after."""
        found = _as_application(stage)
        stage.expect("the rows of the moment are there", holds=found == self.expected, found=len(found))
        stage.expect("the row before it is there", holds=any(row[0] == BEFORE for row in found))
        outputs = {record.step: record.output or {} for record in ended.records}
        pointed.see_moved(stage, Recovered.model_validate(outputs["clone"]).instance)
        kept = [row[0] for row in stage.query(EXPERIMENTS)]
        stage.expect("the old instance is as it was left", holds=kept == [AFTER], found=kept)
        lost = [one.found for record in ended.records if record.step == "account" for one in record.findings]
        stage.expect("what came after is told", holds=any("1 in experiments" in one for one in lost), found=lost)


def _as_application(stage: Stage) -> list[Row]:
    opened = psycopg2.connect(**stage.of_application(stage.tools.secrets.newest(stage.target.logins[0].secret)))
    try:
        with opened.cursor() as cursor:
            cursor.execute(EXPERIMENTS)
            rows: list[Row] = cursor.fetchall()
            return rows
    finally:
        opened.close()


_day = Day()
REHEARSAL = Rehearsal(PROCEDURE, _day.prepare, _day.check)
