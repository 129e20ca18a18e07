"""A real Valkey server, as a child process. It is a cache: nothing of it is kept."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import redis

from runbooks.local.child import Child
from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import write_private
from runbooks.local.ports import HOST
from runtime.errors import first_line

MEMORY = "64mb"
CONNECT_SECONDS = 5.0


class ValkeyServer(Child):
    """One server on the loopback address."""

    name = "Valkey"

    def __init__(self, *, program: Path, folder: Path, log: Path, port: int, password: str) -> None:
        super().__init__(log)
        self.program = program
        self.folder = folder
        self.port = port
        self._password = password

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"redis://:{quote(self._password, safe='')}@{HOST}:{self.port}/0"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the server.

        Raises:
            LocalPlatformError: the program cannot be executed.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        # A file, because every user of the machine sees a command line.
        configuration = self.folder / "valkey.conf"
        write_private(configuration, self._configuration())
        self.spawn([str(self.program), str(configuration)], environment=environment, folder=self.folder)

    def is_ready(self) -> bool:
        """Whether it answers."""
        return answers(self.url, seconds=1.0)

    def _configuration(self) -> str:
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "requirepass": self._password,
            "maxmemory": MEMORY,
            "maxmemory-policy": "allkeys-lru",
            "save": "",
            "appendonly": "no",
            # A title of its own would be written over the environment, and that has the mark of our processes.
            "set-proc-title": "no",
        }
        quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in settings.items()}
        return "".join(f'{name} "{value}"\n' for name, value in quoted.items())


def answers(url: str, *, seconds: float) -> bool:
    """Whether a Redis-compatible server answers at an address."""
    try:
        ping(url, seconds=seconds)
    except (redis.RedisError, OSError):
        return False
    return True


def ensure_reachable(url: str) -> None:
    """See that a server of the user's answers.

    Raises:
        LocalPlatformError: naming the option, and what is wrong.
    """
    try:
        ping(url, seconds=CONNECT_SECONDS)
    except ValueError:
        # The text is not repeated: it may hold a password.
        message = "--redis-url: write redis://:PASSWORD@HOST:PORT/0 or, with TLS, rediss://…"
        raise LocalPlatformError(message) from None
    except (redis.RedisError, OSError) as error:
        message = f"--redis-url: {first_line(error)}"
        raise LocalPlatformError(message) from None


def ping(url: str, *, seconds: float) -> None:
    """Ask a server for a sign of life.

    Raises:
        redis.RedisError: it gave none.
    """
    with redis.Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds) as client:
        client.ping()
