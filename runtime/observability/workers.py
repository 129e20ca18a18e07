"""How the workers of an instance know each other's figures: a folder with a file for each.

A worker holds a lock on a file of its own as long as it lives, so the others see at once that it ended, however it
did. What it counted stays: whoever starts next adds it to the file of those that ended.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from runtime.observability.snapshot import SNAPSHOT, TOTALS, Instance, Snapshot, Totals, merged

_ENDED = "ended"
_FIGURES, _LIFE = ".json", ".alive"


class Workers:
    """One worker's place among the workers of its instance.

    Args:
        folder: of this instance alone.

    Raises:
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._ident = f"worker-{os.getpid()}-{secrets.token_hex(4)}"
        # Nobody looks before it lives: it would be one that ended.
        with self._locked(fcntl.LOCK_EX):
            self._life = self._open(self._ident + _LIFE)
            fcntl.flock(self._life, fcntl.LOCK_EX)
            self._add_up_the_ended()

    def publish(self, snapshot: Snapshot) -> None:
        """Let the others see these figures.

        Raises:
            OSError: the folder cannot be written.
        """
        self._write(self._ident, SNAPSHOT.dump_json(snapshot))

    def together_with(self, own: Snapshot) -> Instance:
        """The instance's figures: these, and what the others published.

        Raises:
            OSError: the folder cannot be read.
        """
        totals, workers = [own.totals], [own.worker]
        with self._locked(fcntl.LOCK_SH):
            ended = self._ended()
            if ended is not None:
                totals.append(ended)
            for ident, is_alive in self._others():
                snapshot = self._snapshot(ident)
                if snapshot is not None:
                    totals.append(snapshot.totals)
                    workers += [snapshot.worker] if is_alive else []
        return Instance(merged(totals), sorted(workers, key=lambda worker: worker.pid))

    def leave(self) -> None:
        """Be one that ended."""
        os.close(self._life)

    def _add_up_the_ended(self) -> None:
        gone = [ident for ident, is_alive in self._others() if not is_alive]
        found = [snapshot.totals for ident in gone if (snapshot := self._snapshot(ident)) is not None]
        if found:
            ended = self._ended()
            self._write(_ENDED, TOTALS.dump_json(merged(found if ended is None else [ended, *found])))
        for ident in gone:
            for suffix in (_FIGURES, _LIFE):
                (self._folder / (ident + suffix)).unlink(missing_ok=True)

    def _others(self) -> Iterator[tuple[str, bool]]:
        for path in sorted(self._folder.glob("worker-*" + _LIFE)):
            if path.stem != self._ident:
                yield path.stem, self._is_alive(path.name)

    def _is_alive(self, name: str) -> bool:
        life = self._open(name)
        try:
            fcntl.flock(life, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(life)
        return False

    def _snapshot(self, ident: str) -> Snapshot | None:
        try:
            return SNAPSHOT.validate_json((self._folder / (ident + _FIGURES)).read_bytes())
        except (FileNotFoundError, ValidationError):
            # It has not published yet; or it is of another release.
            return None

    def _ended(self) -> Totals | None:
        try:
            return TOTALS.validate_json((self._folder / (_ENDED + _FIGURES)).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _write(self, name: str, content: bytes) -> None:
        draft = self._folder / f"{name}.{secrets.token_hex(4)}.draft"
        try:
            draft.write_bytes(content)
            draft.replace(self._folder / (name + _FIGURES))
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def _open(self, name: str) -> int:
        return os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        lock = self._open("lock")
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)
