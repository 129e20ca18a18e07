"""An application that writes all the time, beside a rehearsal."""

import threading
import time
from collections import deque
from typing import Self

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runbooks.engine.errors import RunbookError
from runbooks.engine.permissions import Permissions
from runbooks.engine.secrets import Secrets
from runbooks.engine.target import Login
from runbooks.rehearsal.stage import RehearsalError, Stage
from runtime.errors import first_line

INSERT = "INSERT INTO insight_feedback (insight_id, user_id, rating) VALUES (%s, %s, 5)"
COUNT = "SELECT count(*) FROM insight_feedback WHERE insight_id = %s"
CONNECTIONS = 3
# As pools do, so that a new password comes into use.
WRITES_A_CONNECTION = 20
PAUSE_SECONDS = 0.005
CONNECT_SECONDS = 5
WAIT_SECONDS = 30.0
# Nobody is there any more who could end it.
MOST_FAILURES = 200


class Writer:
    """It has a pool of connections, each for some writes, and takes the URL from its secret for each new one.

    Attributes:
        name: in the rows that it writes.
        written: the writes that were acknowledged.
        failures: why the others were not.
    """

    def __init__(self, stage: Stage, login: Login, name: str) -> None:
        self.name = name
        self.written = 0
        self.failures: list[str] = []
        self._stage = stage
        self._secret = login.secret
        self._secrets = Secrets(stage.target.endpoints.secretmanager, Permissions())
        self._idle: deque[tuple[Connection, int]] = deque()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Begin to write."""
        self._thread.start()
        self._stage.at_end(self.stop)
        return self

    def wait(self, writes: int) -> None:
        """Wait until so many more were acknowledged.

        Raises:
            RehearsalError: they fail, or are not in time.
        """
        wanted, deadline = self.written + writes, time.monotonic() + WAIT_SECONDS
        while self.written < wanted:
            if self.failures or time.monotonic() > deadline:
                message = f"{self.name} does not write: {next(iter(self.failures), 'it takes too long')}"
                raise RehearsalError(message)
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """End, after the write that is under way."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        unread = 0
        try:
            while not self._ended.wait(PAUSE_SECONDS) and len(self.failures) + unread < MOST_FAILURES:
                try:
                    self._write()
                except psycopg2.Error as error:
                    self.failures.append(first_line(error))
                except (RunbookError, OSError):
                    # Secret Manager may be away for a moment; no write was tried.
                    unread += 1
        finally:
            for connection, _ in self._idle:
                connection.close()
            self._secrets.close()

    def _write(self) -> None:
        connection, uses = self._idle.popleft() if len(self._idle) >= CONNECTIONS else (self._connect(), 0)
        try:
            with connection.cursor() as cursor:
                cursor.execute(INSERT, (self.name, f"user-{self.written + len(self.failures)}"))
        except BaseException:
            connection.close()
            raise
        self.written += 1
        if uses + 1 < WRITES_A_CONNECTION:
            self._idle.append((connection, uses + 1))
        else:
            connection.close()

    def _connect(self) -> Connection:
        where = self._stage.of_application(self._secrets.newest(self._secret))
        opened: Connection = psycopg2.connect(**where, connect_timeout=CONNECT_SECONDS, application_name=self.name)
        opened.autocommit = True
        return opened
