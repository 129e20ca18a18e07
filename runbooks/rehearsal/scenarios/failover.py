"""failover under an application that writes all the time: each write that it was told of is there in the end."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg2

from runbooks.engine.records import Ended
from runbooks.engine.report import Verdict, verdict_of
from runbooks.procedures.failover import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

WRITE = "INSERT INTO experiments (id, name, status) VALUES (%s, 'written throughout', 'pending')"
WRITTEN = "SELECT id FROM experiments WHERE name = 'written throughout'"
PAUSE_SECONDS = 0.01
SECONDS = 30.0
# What it writes before the failover and after it, at least.
WRITES = 5


@dataclass
class Application:
    """It writes one row after the other by its own login, and comes back when it is thrown out.

    Attributes:
        acknowledged: the rows of which it was told that they are written.
    """

    where: Mapping[str, Any] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _written: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(SECONDS)

    def goes_on(self) -> bool:
        """Whether it can write some more."""
        wanted = len(self.acknowledged) + WRITES
        with self._written:
            return self._written.wait_for(lambda: len(self.acknowledged) >= wanted, SECONDS)

    def _work(self) -> None:
        opened: Connection | None = None
        number = 0
        while not self._ended.wait(PAUSE_SECONDS):
            number += 1
            try:
                if opened is None:
                    opened = psycopg2.connect(**self.where, connect_timeout=2)
                    opened.autocommit = True
                with opened.cursor() as cursor:
                    cursor.execute(WRITE, (f"throughout-{number}",))
            except psycopg2.Error:
                if opened is not None:
                    opened.close()
                opened = None
                continue
            with self._written:
                self.acknowledged.append(f"throughout-{number}")
                self._written.notify_all()
        if opened is not None:
            opened.close()


@dataclass
class Day:
    """One such day."""

    application: Application = field(default_factory=Application)

    def prepare(self, stage: Stage) -> Asked:
        """The application is at work."""
        self.application = Application(stage.of_application(stage.tools.secrets.newest(stage.target.logins[0].secret)))
        stage.at_end(self.application.stop)
        self.application.start()
        stage.expect("the application can write", holds=self.application.goes_on())
        return Asked()

    def check(self, stage: Stage, ended: Ended) -> None:
        """The application writes again, and nothing of which it was told is missing."""
        goes_on = self.application.goes_on()
        self.application.stop()
        stage.expect("the application writes again", holds=goes_on)
        there = {ident for (ident,) in stage.query(WRITTEN)}
        lost = set(self.application.acknowledged) - there
        stage.expect("each acknowledged row is there", holds=not lost, found=sorted(lost)[:3])
        if verdict_of(ended) is not Verdict.DONE:
            # It was cut off, and nobody saw the writes.
            return
        measures = next(record.measures for record in ended.records if record.step == "fail-over")
        stage.expect("nothing was lost, by measure", holds=measures.rpo_seconds == 0.0, found=measures.rpo_seconds)


_day = Day()
REHEARSAL = Rehearsal(PROCEDURE, _day.prepare, _day.check)
