"""What one worker counts while it works: plain numbers, since every request passes here."""

from collections import Counter, deque
from collections.abc import Awaitable, Iterator
from time import perf_counter
from typing import Protocol, TypeVar

import structlog

from runtime.observability.histogram import Histogram

log = structlog.get_logger()

Result = TypeVar("Result")

# The source's threshold, seconds; one of the histogram's bounds, so that the count above it is exact.
SLOW = 0.2
# Statements that are told apart: writes have one for each set of columns that a caller thinks of.
MOST_STATEMENTS = 500
# OpenTelemetry's word for all that are not known, so that no caller makes figures of his own.
_OTHER_METHOD = "_OTHER"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})


class Statement(Protocol):
    """What is said of a compiled statement; its values are not part of it."""

    sql: str
    # SELECT, INSERT, …
    operation: str
    # The operation and its tables.
    summary: str
    # Tells statements of the same summary apart.
    digest: str


class _Others:
    sql = ""
    operation = "OTHER"
    summary = "OTHER"
    digest = "00000000"


_OTHERS = _Others()


class HttpMeter:
    """Requests by method, route and status."""

    def __init__(self) -> None:
        self.active: Counter[str] = Counter()
        self.served: dict[tuple[str, str, int], Histogram] = {}

    def begin(self, method: str) -> str:
        """Count a request that begins.

        Returns:
            The method to end it with: one of a fixed set.
        """
        if method not in _METHODS:
            method = _OTHER_METHOD
        self.active[method] += 1
        return method

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that ended.

        Args:
            method: what `begin` returned.
            route: the template; empty where no route matched.
            status: of the answer; 0 if there was none.
            seconds: how long it took.
        """
        self.active[method] -= 1
        key = (method, route, status)
        durations = self.served.get(key)
        if durations is None:
            durations = self.served[key] = Histogram()
        durations.add(seconds)


class DatabaseMeter:
    """Statements, and the use of the connections."""

    def __init__(self) -> None:
        self.performed: dict[Statement, Histogram] = {}
        self.failed: dict[tuple[Statement, str], Histogram] = {}
        self.in_use = 0
        self.timeouts = 0
        self.waits = Histogram()
        self._most = 0
        self._most_now = 0
        # Of each second of the last minute.
        self._most_lately: deque[int] = deque(maxlen=60)

    async def timed(self, statement: Statement, work: Awaitable[Result]) -> Result:
        """Await the statement's execution, and count how long it took."""
        began = perf_counter()
        try:
            result = await work
        except BaseException as error:
            seconds = perf_counter() - began
            key = (self._known(statement), type(error).__name__)
            self.failed.setdefault(key, Histogram()).add(seconds)
            if seconds > SLOW:
                _tell(statement, seconds, error)
            raise
        seconds = perf_counter() - began
        durations = self.performed.get(statement)
        if durations is None:
            durations = self.performed.setdefault(self._known(statement), Histogram())
        durations.add(seconds)
        if seconds > SLOW:
            _tell(statement, seconds, None)
        return result

    def took(self, waited: float) -> None:
        """Count a connection that was taken, after so many seconds."""
        self.waits.add(waited)
        self.in_use += 1
        if self.in_use > self._most_now:  # noqa: PLR1730  # a call costs more, and each statement passes here
            self._most_now = self.in_use

    def tick(self) -> None:
        """A second has passed."""
        self._most_lately.append(self._most_now)
        self._most = self.most_in_use
        self._most_now = self.in_use

    @property
    def most_in_use(self) -> int:
        """Most connections that were in use at once."""
        return max(self._most, self._most_now)

    @property
    def most_in_use_lately(self) -> int:
        """The same, of the last minute."""
        return max(self._most_now, *self._most_lately) if self._most_lately else self._most_now

    def outcomes(self) -> Iterator[tuple[Statement, str, Histogram]]:
        """Each statement, the error that it ended in if any, and how long that took."""
        for statement, durations in self.performed.items():
            yield statement, "", durations
        for (statement, error), durations in self.failed.items():
            yield statement, error, durations

    def _known(self, statement: Statement) -> Statement:
        if statement in self.performed or len(self.performed) < MOST_STATEMENTS:
            self.performed.setdefault(statement, Histogram())
            return statement
        return _OTHERS


def _tell(statement: Statement, seconds: float, error: BaseException | None) -> None:
    log.warning(
        "slow_statement",
        statement=statement.summary,
        query_hash=statement.digest,
        ms=round(seconds * 1000, 2),
        error=type(error).__name__ if error else None,
    )
