"""An instance's figures, written to Cloud Monitoring whichever of its workers is asked."""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from runtime.observability.interval import Counted, counted
from runtime.observability.place import APART_SECONDS, Place, PublishingError
from runtime.observability.published import Reading
from runtime.observability.snapshot import Instance

log = structlog.get_logger()

DEADLINE = 10.0
_MEMORY = "published.json"


@dataclass(slots=True, frozen=True)
class Publication:
    """What was written to Cloud Monitoring.

    Attributes:
        seconds: the interval that it tells of.
    """

    counted: Counted
    seconds: float
    readings: list[Reading]


_PUBLICATION = TypeAdapter(Publication)


class Publisher:
    """Writes an instance's figures; its workers take turns, and each tells what happened since the last one's.

    Args:
        place: whose series.
        folder: where the instance's workers meet; None for a worker that is alone.
        deadline: seconds that a publication may take.
        clock: the seconds since 1970.
    """

    def __init__(
        self,
        place: Place,
        folder: Path | None,
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.place = place
        self._folder = folder
        self._deadline = deadline
        self._clock = clock
        self._last: Publication | None = None
        # Its own: one that waits for the network takes no thread from the figures.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publishing")

    async def publish(self, instance: Instance) -> tuple[Publication, bool]:
        """Write the figures, unless some were written just now.

        Args:
            instance: its figures, as they are now.

        Returns:
            What was written, and whether that was now: Google takes no two points of a series within five seconds.

        Raises:
            PublishingError: not all was written, or not before the deadline.
        """
        at, deadline = self._clock(), time.monotonic() + self._deadline
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._publish, instance, at, deadline
                )
        except TimeoutError:
            # The thread's own end is a moment away: each of its calls has a deadline.
            reason = "DeadlineExceeded"
            raise PublishingError(reason, f"no answer within {self._deadline:g} s") from None
        except OSError as error:
            # Without its memory it would tell this minute's figures twice.
            log.warning("publication_not_remembered", error=type(error).__name__)
            reason = "Unremembered"
            raise PublishingError(reason, "the folder of the instance's figures cannot be used") from None

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _publish(self, instance: Instance, at: float, deadline: float) -> tuple[Publication, bool]:
        # Its libraries take a while to import, and memory.
        from runtime.observability import cloud_monitoring  # noqa: PLC0415

        with self._turn():
            last = self._remembered()
            if last is not None and at - last.counted.at < APART_SECONDS:
                return last, False
            now, readings = counted(instance, at, last.counted if last else None)
            cloud_monitoring.write(
                self.place,
                readings,
                began_at=now.began_at,
                at=at,
                seconds=max(0.1, deadline - time.monotonic()),
            )
            written = Publication(now, at - (last.counted.at if last else now.began_at), readings)
            self._remember(written)
        return written, True

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only one of the instance; within the worker the one thread sees to that."""
        if self._folder is None:
            yield
            return
        lock = os.open(self._folder / "published.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Whoever holds it has a deadline.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _remembered(self) -> Publication | None:
        if self._folder is None:
            return self._last
        try:
            return _PUBLICATION.validate_json((self._folder / _MEMORY).read_bytes())
        except (FileNotFoundError, ValidationError):
            # The first time; or it is of another release.
            return None

    def _remember(self, publication: Publication) -> None:
        if self._folder is None:
            self._last = publication
            return
        draft = self._folder / f"{_MEMORY}.draft"
        draft.write_bytes(_PUBLICATION.dump_json(publication))
        draft.replace(self._folder / _MEMORY)
