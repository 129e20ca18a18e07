"""A sandbox in this process, and a client of its Admin API as curl would be."""

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import uvicorn

from runbooks.sandbox import serving
from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.sql.web import AdminApi, application
from tests.waiting import wait_until

PASSWORD = "p@ss:w/rd%20?#[]'\"\\$& ü"
HEADERS = {"Authorization": "Bearer any"}
ENTERPRISE = {
    "tier": "db-f1-micro",
    "edition": "ENTERPRISE",
    "backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True},
}
PLUS = ENTERPRISE | {"tier": "db-perf-optimized-N-2", "edition": "ENTERPRISE_PLUS"}
PLAIN = {"tier": "db-f1-micro", "edition": "ENTERPRISE"}
# What SQL of an instance's own user needs to be quick in tests.
MARKS = "CREATE TABLE mark (word text PRIMARY KEY)"


class Admin:
    """One project of one sandbox."""

    def __init__(self, url: str, project: str = "p-1") -> None:
        self.url = url
        self.http = httpx.Client(base_url=f"{url}/v1/projects/{project}/", headers=HEADERS, timeout=60)
        self.control = httpx.Client(base_url=f"{url}/sandbox/", timeout=60)

    def close(self) -> None:
        self.http.close()
        self.control.close()

    def fault(self, text: str) -> None:
        answer = self.control.post("faults", json={"fault": text})
        assert answer.status_code == 200, answer.text

    def done(self, answer: httpx.Response) -> dict[str, Any]:
        """The operation of an answer, at its end."""
        assert answer.status_code == 200, answer.text
        name = answer.json()["name"]

        def end() -> dict[str, Any] | None:
            operation = self.http.get(f"operations/{name}").json()
            return operation if operation.get("status") == "DONE" else None

        return wait_until(end, seconds=120)

    def well(self, answer: httpx.Response) -> dict[str, Any]:
        """The operation of an answer, which ends well."""
        operation = self.done(answer)
        assert "error" not in operation, operation["error"]
        return operation

    def insert(self, name: str, settings: dict[str, Any] | None = None, **fields: Any) -> None:
        body = {"name": name, "databaseVersion": "POSTGRES_18", "settings": settings or ENTERPRISE, **fields}
        self.well(self.http.post("instances", json=body))
        self.wait_backed_up(name)

    def wait_backed_up(self, name: str) -> None:
        """Wait for the backup that follows an operation, from whose end on moments can be recovered to."""

        def is_over() -> bool:
            runs = self.http.get(f"instances/{name}/backupRuns").json()["items"]
            return not {run["status"] for run in runs} & {"ENQUEUED", "RUNNING"}

        wait_until(is_over)

    def get(self, name: str) -> dict[str, Any]:
        answer = self.http.get(f"instances/{name}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def version(self, name: str) -> str:
        return self.get(name)["settings"]["settingsVersion"]

    def backup(self, name: str) -> str:
        return self.well(self.http.post(f"instances/{name}/backupRuns"))["backupContext"]["backupId"]

    def clone(self, name: str, to: str, **context: Any) -> httpx.Response:
        body = {"cloneContext": {"destinationInstanceName": to, **context}}
        return self.http.post(f"instances/{name}/clone", json=body)

    def failover(self, name: str) -> httpx.Response:
        body = {"failoverContext": {"settingsVersion": self.version(name)}}
        return self.http.post(f"instances/{name}/failover", json=body)

    def sql(
        self, instance: str, statement: str, *, user: str = "postgres", password: str = PASSWORD, seconds: int = 10
    ) -> list[Any]:
        """Run a statement at the instance's address, as any client would."""
        places = self.control.get("instances").json()["instances"]
        [place] = [one for one in places if one["instance"] == instance]
        connection = psycopg2.connect(
            host=place["host"],
            port=place["port"],
            user=user,
            password=password,
            dbname="postgres",
            connect_timeout=seconds,
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def mark(self, instance: str, word: str) -> str:
        """Write a word.

        Returns:
            A moment after it and before the next.
        """
        self.sql(instance, f"INSERT INTO mark VALUES ('{word}')")
        return self.sql(
            instance, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        )[0][0]

    def marks(self, instance: str) -> set[str]:
        return {word for (word,) in self.sql(instance, "SELECT word FROM mark")}


@contextmanager
def sandbox(folder: Path, *faults: str) -> Iterator[Admin]:
    """A sandbox on a state folder, over real HTTP."""
    held = Faults([read_fault(text) for text in faults])
    with serving.listen(0) as listener, serving.cloud_sql(folder, held) as sql:
        app = application(AdminApi(sql))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        admin = Admin(f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            yield admin
        finally:
            admin.close()
            server.should_exit = True
            thread.join()


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason of a refusal, which is in Google's shape."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert error["errors"][0]["domain"] == "global"
    assert error["errors"][0]["message"] == error["message"]
    return answer.status_code, error["errors"][0]["reason"]


def code(operation: dict[str, Any]) -> str:
    """The code of an operation's error, which is in Google's shape."""
    [error] = operation["error"]["errors"]
    assert (operation["error"]["kind"], error["kind"]) == ("sql#operationErrors", "sql#operationError")
    assert error["message"]
    return error["code"]


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")
