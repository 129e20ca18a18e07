"""Failures on demand."""

import threading
from collections import deque

from runbooks.sandbox.storage.errors import Code, StorageError

CODES = {
    401: Code.AUTHENTICATION_REQUIRED,
    403: Code.ACCESS_DENIED,
    429: Code.TOO_MANY_REQUESTS,
    500: Code.INTERNAL_ERROR,
    503: Code.SERVICE_UNAVAILABLE,
}


class Faults:
    """What is yet to fail. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[Code]] = {}

    def fail_next(self, method: str, status: int, count: int = 1) -> None:
        """Let the next requests of an HTTP method fail, after those that are to fail already.

        Raises:
            KeyError: it is not one of the statuses in `CODES`.
        """
        with self._lock:
            self._waiting.setdefault(method.upper(), deque()).extend([CODES[status]] * count)

    def take(self, method: str) -> StorageError | None:
        """The failure of this request, if it is to fail."""
        with self._lock:
            waiting = self._waiting.get(method)
            return StorageError(waiting.popleft(), "injected") if waiting else None
