"""The application behind a real socket, in a thread of this process, for clients that are not asynchronous."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from runtime.api.app import create_app
from tests.conftest import TestDatabase
from tests.waiting import wait_until


@contextmanager
def serving(database: TestDatabase, **settings: object) -> Iterator[str]:
    """The address of an API on a database."""
    app = create_app(database.settings(db_pool_min=1, log_level="ERROR", **settings))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        (listening,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
