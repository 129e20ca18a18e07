"""Operations: read, cancelled, waited for."""

import time
from collections.abc import Callable
from threading import Event

from runtime.cloudsql.errors import (
    CloudSqlError,
    OperationFailedError,
    OperationUnfinishedError,
    WaitCancelledError,
)
from runtime.cloudsql.models import Operation
from runtime.cloudsql.transport import Transport, parsed

FIRST_INTERVAL = 0.05
LONGEST_INTERVAL = 5.0
# Of the time that it has taken: no wait is longer than it had to be by more than this.
SHARE = 0.1
# A large restore or clone takes hours; most operations take minutes.
WAIT_SECONDS = 3600.0


class Operations:
    """The calls on `operations`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: str) -> Operation:
        """Read one."""
        return self._transport.read(Operation, "GET", "operations", name, about=f"operation {name}")

    def list(self, instance: str | None = None, *, limit: int | None = 100) -> list[Operation]:
        """Read them, newest first.

        Args:
            instance: whose; by default all of the project's.
            limit: how many; None for all.
        """
        return self._transport.items(
            Operation,
            "operations",
            about=f"instance {instance}" if instance else f"project {self._transport.project}",
            query={"instance": instance, "maxResults": limit},
            limit=limit,
        )

    def cancel(self, name: str) -> None:
        """Ask one to end; whether it does is for `wait` to say."""
        self._transport.send("POST", "operations", name, "cancel", about=f"operation {name}")

    def wait(
        self,
        operation: Operation | str,
        *,
        progress: Callable[[Operation], None] | None = None,
        deadline: float = WAIT_SECONDS,
        cancelled: Event | None = None,
    ) -> Operation:
        """Wait until one has ended well, while the service may be away for a time.

        Args:
            operation: it or its name.
            progress: is told what is known of it, at each look.
            deadline: seconds.
            cancelled: ends the waiting when set; the operation goes on.

        Raises:
            OperationFailedError: it ended in error.
            OperationUnfinishedError: it has not ended by the deadline.
            WaitCancelledError: `cancelled` was set.
            CloudSqlError: it cannot be read, and waiting will not change that.
        """
        name = operation if isinstance(operation, str) else operation.name
        about = f"operation {name}" if isinstance(operation, str) else _about(operation)
        stop = cancelled or Event()
        began = time.monotonic()
        end = began + deadline
        state = "not known"
        while not stop.is_set():
            pause = min(max(FIRST_INTERVAL, SHARE * (time.monotonic() - began)), LONGEST_INTERVAL)
            try:
                seen = self._look(name, about, end - time.monotonic())
            except CloudSqlError as error:
                if not error.may_repeat:
                    raise
                state = "not known, since the service does not say"
                pause = max(pause, error.retry_after or 0.0)
            else:
                about, state = _about(seen), seen.status
                if progress is not None:
                    progress(seen)
                if seen.is_done:
                    return _ended_well(seen)
            left = end - time.monotonic()
            if left <= 0:
                raise OperationUnfinishedError(about, name, f"{state} after {deadline:g} s")
            stop.wait(min(pause, left))
        raise WaitCancelledError(about, name, f"{state} when the waiting was stopped")

    def _look(self, name: str, about: str, left: float) -> Operation:
        # The last look may come at the deadline itself.
        timeout = min(self._transport.request_timeout, max(left, 1.0))
        return parsed(Operation, self._transport.once("GET", "operations", name, about=about, timeout=timeout), about)


def _ended_well(operation: Operation) -> Operation:
    if operation.error is not None:
        raise OperationFailedError(_about(operation), operation.name, operation.error.errors)
    return operation


def _about(operation: Operation) -> str:
    what = f" ({operation.operation_type})" if operation.operation_type else ""
    where = f" on instance {operation.target_id}" if operation.target_id else ""
    return f"operation {operation.name}{what}{where}"
