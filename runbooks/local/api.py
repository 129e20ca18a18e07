"""The API, as a child process."""

import http.client
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from runbooks.local.child import Child
from runbooks.local.ports import HOST

ANSWER_SECONDS = 5.0


class ApiServer(Child):
    """`python -m runtime serve`."""

    name = "the API"
    # Longer than it gives its own requests to finish.
    stopping: ClassVar = ((signal.SIGTERM, 11.0),)

    def __init__(self, *, log: Path, port: int) -> None:
        super().__init__(log)
        self.port = port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def start(self, environment: Mapping[str, str], folder: Path) -> None:
        """Start serving.

        Raises:
            LocalPlatformError: the program cannot be executed.
        """
        self.spawn([sys.executable, "-P", "-m", "runtime", "serve"], environment=environment, folder=folder)

    def is_ready(self) -> bool:
        """Whether it says that it and what it needs are ready."""
        return readiness(self.port)[0]

    def last_words(self) -> str:
        """The line that best says what went wrong, of which a log entry is only the message."""
        words = super().last_words().removeprefix("holdfast: ")
        try:
            entry = json.loads(words)
        except ValueError:
            return words
        return str(entry.get("message", words)) if isinstance(entry, dict) else words

    def complaint(self) -> str:
        """What it lacks, in its own words if it has any."""
        _, words = readiness(self.port)
        return words if words.startswith("{") else self.last_words()


def readiness(port: int) -> tuple[bool, str]:
    """What the API says about itself: whether it is ready, and its words or why there are none."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, str(error) or type(error).__name__
    finally:
        connection.close()
    return answer.status == http.client.OK, body
