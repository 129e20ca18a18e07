"""The storage façade behind a real socket, and obstore pointed at it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn
from obstore.store import GCSStore
from starlette.applications import Starlette

from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.storage import app, write_service_account
from tests.waiting import wait_until

if TYPE_CHECKING:
    from obstore.store import BackoffConfig

NOT_FOUND = 404
SERVER = """
import sys
from pathlib import Path
import uvicorn
from runbooks.sandbox.storage import app
uvicorn.run(app(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


@dataclass(frozen=True)
class Storage:
    """A façade that answers."""

    url: str
    folder: Path
    accounts: Path

    def client(self, bucket: str, *, retries: int = 3) -> GCSStore:
        """obstore on a bucket, as the platform configures it."""
        account = self.accounts / "account.json"
        write_service_account(account, self.url)
        backoff: BackoffConfig = {
            "init_backoff": timedelta(milliseconds=1),
            "max_backoff": timedelta(milliseconds=5),
            "base": 2,
        }
        return GCSStore(
            bucket,
            service_account=str(account),
            client_options={"allow_http": True},
            retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=10), "backoff": backoff},
        )

    def files(self) -> set[str]:
        """What the folder holds of bytes."""
        return {path.name for path in (self.folder / "blobs").iterdir()}


@dataclass(frozen=True)
class LocalStorage(Storage):
    """One in a thread of this process."""

    application: Starlette
    faults: Faults

    def fault(self, text: str) -> None:
        self.faults.add(read_fault(text))

    def open_files(self) -> list[str]:
        """What this process holds open of the folder's bytes, deleted files too."""
        found = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found.append(str(descriptor.readlink()))
        return [path for path in found if path.startswith(f"{self.folder}/blobs/")]


@contextmanager
def serving(folder: Path) -> Iterator[LocalStorage]:
    """A façade in this process."""
    faults = Faults([])
    application = app(folder / "storage", faults)
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        (listening,) = server.servers[0].sockets
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield LocalStorage(url, folder / "storage", folder, application, faults)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def running(folder: Path, port: int) -> Iterator[tuple[Storage, "subprocess.Popen[bytes]"]]:
    """A façade in a process of its own, which a test may kill."""
    storage = Storage(f"http://127.0.0.1:{port}", folder / "storage", folder)
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(storage.folder), str(port)])
    try:
        wait_until(lambda: _answers(storage))
        yield storage, process
    finally:
        process.kill()
        process.wait()


def _answers(storage: Storage) -> bool:
    try:
        return httpx.head(f"{storage.url}/any").status_code == NOT_FOUND
    except httpx.TransportError:
        return False
