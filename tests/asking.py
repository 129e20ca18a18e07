"""Each client of the platform's, asked for something without being told an address: `python -m tests.asking`.

It prints a line of JSON a client: how it ended, after how many seconds, and how many packets were for another machine.
The kernel counts them, whatever library they come from: a packet that has no way out is in `OutNoRoutes`. That is only
so in a network of its own, where nothing but loopback has a way.
"""

import asyncio
import fcntl
import json
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import google.auth
import httpx
import psycopg2
import uvloop
from google.auth.credentials import AnonymousCredentials
from google.auth.credentials import Credentials as AnyCredentials
from google.cloud.monitoring_v3 import MetricServiceClient
from google.cloud.sql.connector import Connector
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from obstore.store import GCSStore, S3Store

from runbooks.sandbox.services.task_process import Running
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for

if TYPE_CHECKING:
    from obstore.store import RetryConfig

ONCE: "RetryConfig" = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}
TOKEN = "a token, so that the service itself is asked"
JOB = "a job of the sandbox"
# Of Linux: sets an interface's flags.
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def connect() -> None:
    async def ask() -> None:
        async with Connector(credentials=Credentials(TOKEN), loop=asyncio.get_running_loop()) as connector:
            await connector.connect_async("p:europe-west1:i", "asyncpg", user="u", password="p", db="d", timeout=5)

    uvloop.run(ask())


def instances(credentials: AnyCredentials) -> object:
    return CloudSqlAdmin("p", credentials=credentials, patience=0).instances.list()


CLIENTS: dict[str, Callable[[], object]] = {
    "google.auth": google.auth.default,
    "the connector": connect,
    "the Admin API client": lambda: instances(credentials_for(None)),
    "the Admin API client with a token": lambda: instances(Credentials(TOKEN)),
    "the discovery client": lambda: (
        discovery.build("sqladmin", "v1", credentials=Credentials(TOKEN)).instances().list(project="p").execute()
    ),
    "obstore on gs://": lambda: GCSStore("bucket", retry_config=ONCE).put("name", b""),
    "obstore on s3://": lambda: S3Store("bucket", retry_config=ONCE).put("name", b""),
    "obstore on s3:// with a key": lambda: S3Store(
        "bucket", access_key_id="id", secret_access_key=TOKEN, retry_config=ONCE
    ).put("name", b""),
    "httpx": lambda: httpx.get("https://www.googleapis.com/oauth2/v3/certs"),
    "httpx by number": lambda: httpx.get("http://169.254.169.254/computeMetadata/v1/"),
    "libpq": lambda: psycopg2.connect(host="db.example.com", connect_timeout=5),
    # Last, because its threads go on asking.
    "Monitoring over gRPC": lambda: list(
        MetricServiceClient(credentials=AnonymousCredentials()).list_metric_descriptors(
            name="projects/p", timeout=5, retry=None
        )
    ),
}


def run_job() -> None:
    """A task of a job, as the sandbox's Cloud Run starts it, with a name of another machine."""
    environment = {"DB_HOST": "db.example.com", "DB_USER": "u", "DB_PASSWORD": "p", "SECRET_KEY": "0" * 32}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        ended = Running(lambda _: None).attempt(["migrate"], environment, log, 20)
        if ended.code:
            raise RuntimeError(log.read_text())


def main() -> None:
    """Ask them all."""
    # Elsewhere it is up, or this may not change it.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    for name, ask in {JOB: run_job, **CLIENTS}.items():
        before, began = sum(lost()), time.monotonic()
        try:
            ask()
            failure = ""
        except Exception as error:  # noqa: BLE001  # each client has its own
            failure = f"{type(error).__module__}.{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        finding = {"client": name, "failure": failure, "seconds": seconds, "packets": sum(lost()) - before}
        sys.stdout.write(json.dumps(finding) + "\n")


def lost() -> Iterator[int]:
    """How many packets had no way out so far, of IPv4 and of IPv6, as far as the kernel counts them."""
    with suppress(FileNotFoundError):
        names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line[:3] == "Ip:")
        yield int(values[names.index("OutNoRoutes")])
    with suppress(FileNotFoundError):
        lines = map(str.split, Path("/proc/net/snmp6").read_text().splitlines())
        yield from (int(value) for name, value in lines if name == "Ip6OutNoRoutes")


if __name__ == "__main__":
    main()
