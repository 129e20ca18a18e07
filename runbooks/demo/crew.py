"""Worker processes as the one who started them sees them: what they say, and a way to kill one."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runbooks.demo.errors import DemoError
from runbooks.demo.worker import API_VARIABLE, KEY_VARIABLE

# For everything that the workers do together.
CREW_SECONDS = 45.0
END_SECONDS = 5.0


@dataclass(frozen=True)
class Event:
    """One line that a worker said."""

    worker: str
    name: str
    facts: dict[str, Any]


class Crew:
    """Several workers at once.

    Args:
        listen: hears every event.
    """

    def __init__(self, listen: Callable[[Event], None]) -> None:
        self.heard: list[Event] = []
        self._listen = listen
        self._said: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._deadline = time.monotonic() + CREW_SECONDS
        self._killed: set[str] = set()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: dict[str, threading.Thread] = {}

    def start(self, name: str, *, run: str, environment: Mapping[str, str]) -> None:
        """Start a worker.

        Args:
            name: the owner of its leases.
            run: the type of its jobs.
            environment: with the API's address and a key.
        """
        self._processes[name] = process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runbooks.demo.worker", "--name", name, "--run", run],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._readers[name] = threading.Thread(target=self._read, args=(name, process), daemon=True)
        self._readers[name].start()

    def wait(self, *names: str, worker: str | None = None, **facts: int) -> Event:
        """Listen until one says a thing of these, with these facts.

        Raises:
            DemoError: one failed or ended before, or the deadline passed.
        """
        while True:
            try:
                event = self._said.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                message = f"the workers did not get to {' or '.join(names)} within {CREW_SECONDS:.0f} s"
                raise DemoError(message) from None
            self.heard.append(event)
            self._listen(event)
            is_wanted = event.name in names and worker in {None, event.worker}
            if is_wanted and facts.items() <= event.facts.items():
                return event
            if event.name == "failed":
                message = f"{event.worker}: {event.facts['why']}"
                raise DemoError(message)
            if event.name == "ended" and event.worker not in self._killed:
                message = f"{event.worker} ended with exit code {self._processes[event.worker].wait(END_SECONDS)}"
                raise DemoError(message)

    def kill(self, name: str) -> None:
        """End a worker as a power cut would, and hear what it said before."""
        self._killed.add(name)
        self._processes[name].kill()
        self._processes[name].wait(END_SECONDS)
        self._readers[name].join(END_SECONDS)

    def end(self) -> None:
        """Kill whoever is left."""
        for name in self._processes:
            self.kill(name)

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        with process.stdout as lines:
            for line in lines:
                facts = json.loads(line)
                self._said.put(Event(name, facts.pop("event"), facts))
        self._said.put(Event(name, "ended", {}))


@contextlib.contextmanager
def crew_of(names: Sequence[str], *, run: str, url: str, key: str, listen: Callable[[Event], None]) -> Iterator[Crew]:
    """Workers that work until the end of this."""
    environment = {**os.environ, API_VARIABLE: url, KEY_VARIABLE: key}
    crew = Crew(listen)
    try:
        for name in names:
            crew.start(name, run=run, environment=environment)
        yield crew
    finally:
        crew.end()
