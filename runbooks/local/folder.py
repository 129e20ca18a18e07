"""The folder that holds everything the local platform keeps; nothing outside it is touched."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbooks.local.errors import LocalPlatformError

# A new PostgreSQL takes 40 MB and its write-ahead log up to 1 GB before it recycles; this is enough to start.
NEEDED_BYTES = 300_000_000


@dataclass(frozen=True)
class StateFolder:
    """Where what is."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it runs."""
        return self.path / "lock"

    @property
    def record(self) -> Path:
        """What runs now."""
        return self.path / "state.json"

    @property
    def credentials(self) -> Path:
        """Passwords and keys, made once."""
        return self.path / "credentials.json"

    @property
    def ports(self) -> Path:
        """The ports of last time."""
        return self.path / "ports.json"

    @property
    def env(self) -> Path:
        """The settings, for commands run beside the platform."""
        return self.path / "env"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's configuration and working folder."""
        return self.path / "valkey"

    def log(self, name: str) -> Path:
        """One program's log."""
        return self.path / "logs" / f"{name}.log"

    def make(self) -> None:
        """Make the folder, or see that the one that is there is ours.

        Raises:
            LocalPlatformError: it cannot be made or written, or it holds something else.
        """
        with self._explained():
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._refuse_another_use()
            self.path.chmod(0o700)
            # The lock marks the folder as ours, and that it opens tells that the folder can be written.
            os.close(os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600))

    def probe(self) -> None:
        """See whether `make` would succeed, leaving no trace.

        Raises:
            LocalPlatformError: it would not.
        """
        with self._explained():
            if self.path.is_dir():
                self._refuse_another_use()
                tempfile.TemporaryFile(dir=self.path).close()
            else:
                self.path.mkdir(mode=0o700)
                self.path.rmdir()

    def check_space(self) -> int:
        """See that the disk is not nearly full.

        Returns:
            The free bytes.

        Raises:
            LocalPlatformError: there is too little room.
        """
        # Before the first start the folder is not there yet, and the disk is its parent's.
        free = shutil.disk_usage(self.path if self.path.exists() else self.path.parent).free
        if free < NEEDED_BYTES:
            message = (
                f"{free // 1_000_000} MB are free where {self.path} is, and {NEEDED_BYTES // 1_000_000} MB are "
                "needed; free some, or choose another folder with --state"
            )
            raise LocalPlatformError(message)
        return free

    def _refuse_another_use(self) -> None:
        if not self.lock.exists() and any(self.path.iterdir()):
            message = f"{self.path} holds something else than Holdfast's state; choose another with --state"
            raise LocalPlatformError(message)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            message = f"{self.path} is in the way: it is not a folder; remove it, or choose another with --state"
            raise LocalPlatformError(message) from None
        except OSError as error:
            message = f"the state folder {self.path} cannot be used: {error.strerror}; choose another with --state"
            raise LocalPlatformError(message) from None
