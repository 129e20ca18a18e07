"""The sandbox as its users have it: the command, our own client of the Admin API, and psycopg2."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class

from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from tests.bench.client import LoadError

COMMAND = Path(sys.executable).with_name("holdfast")
PROJECT = "bench"
CONNECT_SECONDS = 30
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Address:
    """Where a database answers, and the password of its user `postgres`."""

    host: str
    port: int
    password: str

    def connect(self) -> Connection:
        """A connection on which each statement is its own transaction."""
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            user="postgres",
            password=self.password,
            dbname="postgres",
            connect_timeout=CONNECT_SECONDS,
        )
        connection.autocommit = True
        return connection

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@dataclass(frozen=True)
class Cloud:
    """A sandbox that serves."""

    url: str
    client: CloudSqlAdmin
    # From the command to its first answer.
    boot_seconds: float

    def address(self, instance: str, password: str) -> Address:
        """Where an instance answers."""
        places = _get(self.url, "/sandbox/instances")["instances"]
        (place,) = [place for place in places if place["instance"] == instance]
        return Address(place["host"], place["port"], password)


@contextmanager
def serving(state: Path) -> Iterator[Cloud]:
    """`holdfast sandbox` on a state folder; it ends with the block.

    Raises:
        LoadError: it does not start.
    """
    log = state.with_suffix(".log")
    command = [str(COMMAND), "sandbox", "--port", "0", "--state", str(state), "--json"]
    began = time.perf_counter()
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said:
                message = f"holdfast sandbox does not start: {log.read_text()[-500:]}"
                raise LoadError(message)
            url = json.loads(said)["sql"]
            _get(url, f"/v1/projects/{PROJECT}/instances")
            boot_seconds = time.perf_counter() - began
            with CloudSqlAdmin(PROJECT, credentials=credentials_for(url), endpoint=url) as client:
                yield Cloud(url, client, boot_seconds)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _get(url: str, path: str) -> dict[str, list[dict[str, str | int]]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=CONNECT_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": "Bearer any"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        message = f"{path} answered {answer.status}: {body[:300]!r}"
        raise LoadError(message)
    return json.loads(body)
