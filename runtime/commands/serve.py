"""The command that serves the API."""

import signal
import sys

import uvicorn

from runtime import settings


def serve() -> None:
    """Serve the API, one worker a core."""
    # Read here, so that a wrong setting stops the start with its line rather than in each worker.
    loaded = settings.load(settings.ApiSettings)
    # A single worker raises the signal again when all is answered and closed: that is success.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "runtime.api.app:create_app",
        factory=True,
        host=loaded.api_host,
        port=loaded.api_port,
        workers=loaded.max_workers if loaded.max_workers > 1 else None,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
