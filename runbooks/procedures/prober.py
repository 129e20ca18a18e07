"""Somebody who writes all the time: what nobody can write, and what is lost, is known by what was acknowledged."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psycopg2

from runbooks.engine.errors import FailedError
from runbooks.engine.run import Run

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

PAUSE_SECONDS = 0.03
# A server that is gone says nothing. What hangs was not acknowledged.
SILENCE = {
    "connect_timeout": 2,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 3000,
}
# Behind a tunnel it is the tunnel that answers, whatever became of the server: then only the clock tells.
WRITE_SECONDS = 4.0
# Markers of recoveries: nobody else's table is touched, and the platform deletes old ones. Another server has another
# start.
WRITE = "INSERT INTO recovery_markers DEFAULT VALUES RETURNING id::text, pg_postmaster_start_time()::text"


@dataclass(frozen=True)
class Write:
    """A write that was acknowledged.

    Attributes:
        at: when, on the monotonic clock.
        server: by which server.
    """

    id: str
    at: float
    server: str


class Prober:
    """Writes through the operator's login in a thread of its own, from entering it to leaving it.

    Attributes:
        writes: those that were acknowledged, in order.
    """

    def __init__(self, run: Run) -> None:
        run.tools.permissions.require("database.write")
        target = run.target
        self._where = {
            **run.tools.place(run.instance()),
            **SILENCE,
            "dbname": target.database,
            "user": target.operator.user,
            "application_name": "holdfast-prober",
        }
        self._password = run.tools.secrets.newest(target.operator.secret)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prober", daemon=True)
        self.writes: list[Write] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(SILENCE["connect_timeout"] + SILENCE["tcp_user_timeout"] / 1000)

    def written(self, number: int, *, seconds: float) -> bool:
        """Wait until so many writes were acknowledged, and say whether they were."""
        return self._await(lambda: len(self.writes) >= number, seconds)

    def first_of_another(self, servers: set[str], *, seconds: float) -> Write:
        """The first write that another server acknowledged than these.

        Raises:
            FailedError: NOBODY_WRITES, none was in time.
        """

        def found() -> Write | None:
            return next((one for one in self.writes if one.server not in servers), None)

        if not self._await(lambda: found() is not None, seconds):
            code = "NOBODY_WRITES"
            message = f"no write was acknowledged within {seconds:g} s; see holdfast runbook run diagnose-connection"
            raise FailedError(code, message)
        write = found()
        assert write is not None  # noqa: S101  # just seen
        return write

    def _await(self, holds: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def _work(self) -> None:
        opened: Connection | None = None
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                if opened is None:
                    opened = psycopg2.connect(**self._where, password=self._password.get_secret_value())
                    opened.autocommit = True
                with _hung_up_in_time(opened), opened.cursor() as cursor:
                    cursor.execute(WRITE)
                    [(ident, server)] = cursor.fetchall()
                self.writes.append(Write(ident, time.monotonic(), server))
            except psycopg2.Error:
                # That is what is measured.
                if opened is not None:
                    opened.close()
                opened = None
        if opened is not None:
            opened.close()


@contextmanager
def _hung_up_in_time(opened: "Connection") -> Iterator[None]:
    """Hang up on a server that does not answer a write."""
    timer = threading.Timer(WRITE_SECONDS, _hang_up, [opened.fileno()])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # The number may be another connection's afterwards.
        timer.join()


def _hang_up(number: int) -> None:
    # A copy: to shut it down is for both, and to close it only for the copy.
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
        copy.shutdown(socket.SHUT_RDWR)
