"""Ctrl-C, a closed terminal and `holdfast down`: each asks the supervisor to stop, at whatever point it is."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A wish to stop, no error: what handles errors must let it through."""


def _request(_number: int, _frame: FrameType | None) -> None:
    ignore_stop_requests()
    raise StopRequested


@contextmanager
def stop_requests() -> Iterator[None]:
    """Let the first request raise `StopRequested` here. Later ones change nothing: stopping has its deadlines."""
    before = {number: signal.getsignal(number) for number in REQUESTS}
    for number in REQUESTS:
        # Under nohup a closed terminal is to be ignored.
        if not (number == signal.SIGHUP and before[number] is signal.SIG_IGN):
            signal.signal(number, _request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_stop_requests() -> None:
    """From here on it stops anyway."""
    for number in REQUESTS:
        signal.signal(number, signal.SIG_IGN)
