"""An event loop in a thread of its own, for the fronts of a program that is not asynchronous."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")
# Of what is done in the loop for another thread; nothing there waits for a client.
DEADLINE = 30.0


class LoopThread:
    """One loop, which many fronts share; as a context it is started and stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fronts", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the loop and the thread. Whatever runs in the loop has been stopped before."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop and wait for its end, from any other thread.

        Raises:
            TimeoutError: it did not end within the deadline.
        """
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)
