"""The command that serves the API."""

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator

import uvicorn

from runtime import settings
from runtime.observability.place import new_instance_id


def serve() -> None:
    """Serve the API, one worker a core."""
    # Read here, so that a wrong setting stops the start with its line rather than in each worker.
    loaded = settings.load(settings.ApiSettings)
    # A single worker raises the signal again when all is answered and closed: that is success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _identity(loaded), _meeting_place(loaded):
        _run(loaded)


def _run(loaded: settings.ApiSettings) -> None:
    uvicorn.run(
        "runtime.api.worker:application",
        factory=True,
        host=loaded.api_host,
        port=loaded.api_port,
        workers=loaded.max_workers if loaded.max_workers > 1 else None,
        loop="uvloop",
        http="runtime.api.head_limit:BoundedHttp",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


@contextlib.contextmanager
def _identity(loaded: settings.ApiSettings) -> Iterator[None]:
    """One name for all workers: their metrics are the instance's."""
    with settings.handed_down("metrics_instance", loaded.metrics_instance or new_instance_id()):
        yield


@contextlib.contextmanager
def _meeting_place(loaded: settings.ApiSettings) -> Iterator[None]:
    """Where the workers leave their figures for each other, until the last has ended."""
    if loaded.max_workers == 1 or loaded.metrics_dir is not None:
        yield
        return
    # Workers are processes of their own, and read their settings as this one did.
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-metrics-", ignore_cleanup_errors=True) as folder,
        settings.handed_down("metrics_dir", folder),
    ):
        yield
