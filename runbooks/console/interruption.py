"""Ctrl-C and SIGTERM while a procedure runs."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A shell's exit code of a program that a signal ended is this and the signal's number.
BY_SIGNAL = 128


@contextmanager
def ending_at_once(say: Callable[[], None]) -> Iterator[None]:
    """Let a signal end the process as a crash would, at whatever point it is.

    An exception would have to wait for the statement or the request that is under way, and would run through dbos,
    which would write down that the run has failed. As it is, the step is done again at the resume.

    Args:
        say: what is told to people before.
    """
    heard, told = socket.socketpair()
    # Python's own handlers wait for the main thread; this is written to at once.
    told.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    fd = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        number = heard.recv(1)
        if number:
            say()
            os._exit(BY_SIGNAL + number[0])

    listener = threading.Thread(target=listen, name="interruption", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()
        listener.join()
        heard.close()
