"""The real server, as the container runs it: two workers, a signal, and what it leaves in the log."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from runbooks.local.ports import free_port
from tests.conftest import SECRET, TestDatabase
from tests.running import clean_environment, environment_of
from tests.runtime.api.contract import assert_problem
from tests.runtime.api.world import EXPERIMENT, EXPERIMENTS, METRIC, METRICS, quoted
from tests.waiting import wait_until

LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


class Served:
    """`python -m runtime serve` on a database."""

    def __init__(self, database: TestDatabase, folder: Path, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime", "serve"],
                cwd=folder,
                env={**clean_environment(), **environment_of(database), "API_PORT": str(port), **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            return httpx.get(f"{self.url}/health/live").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self._process.send_signal(how)
        return self._process.wait(20)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        return self._log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_serves_under_load_and_stops_cleanly(
    workers: int, database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    key, revoked = make_key(), "hf_nonsense's key"
    settings = {"MAX_WORKERS": str(workers), "DB_POOL_MIN": "2", "DB_POOL_MAX": "4", "LOG_LEVEL": "INFO"}
    served = Served(database, tmp_path, **settings)
    try:
        served.wait()
        async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": key}, timeout=30) as client:
            assert (await client.get("/health/ready")).json()["database"]["ok"] is True
            made = await client.post(EXPERIMENTS, json={"id": EXPERIMENT, "result_value": 0.0})
            assert made.status_code == 201
            shown = await client.get(f"{EXPERIMENTS}/{quoted(EXPERIMENT)}", headers={"X-Request-Id": "mine"})
            assert shown.json()["experiment"] == made.json()
            assert shown.headers["x-request-id"] == "mine"
            assert "server" not in shown.headers
            refused = await client.get(EXPERIMENTS, headers={"X-API-Key": revoked})
            assert_problem(refused, 401, "unauthenticated")

            # Many times more at once than there are connections to the database.
            async def call(number: int) -> int:
                if number % 2:
                    return (await client.get(EXPERIMENTS, params={"limit": 1})).status_code
                return (await client.post(METRICS, json={**METRIC, "metric_value": number})).status_code

            statuses = Counter(await asyncio.gather(*(call(number) for number in range(300))))
            assert statuses == {200: 150, 201: 150}
            stored = (await client.get(METRICS, params={"limit": 1000})).json()["metrics"]
            assert sorted(row["metric_value"] for row in stored) == list(range(0, 300, 2))
        assert served.stop() == 0
    finally:
        served.kill()

    log = served.log()
    entries: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    requests = [entry for entry in entries if entry["message"] == "request"]
    assert all(entry["severity"] in LEVELS for entry in entries)
    assert all(entry["time"] for entry in requests)
    assert {"method": "POST", "path": EXPERIMENTS, "status": 201}.items() <= next(
        entry.items() for entry in requests if entry["method"] == "POST"
    )
    assert [entry["path"] for entry in requests if entry["request_id"] == "mine"] == [f"{EXPERIMENTS}/{EXPERIMENT}"]
    assert len([entry for entry in requests if entry["path"] == METRICS]) == 151
    assert not [entry for entry in entries if entry["severity"] in {"ERROR", "CRITICAL"}]
    for secret in (key, key.split("_")[2][:40], revoked, SECRET, "p@ss", "p%40ss"):
        assert secret not in log


async def test_debug_puts_each_statement_into_the_log_and_nobodys_data(
    database: TestDatabase, make_key: Callable[..., str], tmp_path: Path
) -> None:
    served = Served(database, tmp_path, DEBUG="true", MAX_WORKERS="1", LOG_LEVEL="ERROR")
    try:
        served.wait()
        async with httpx.AsyncClient(base_url=served.url, headers={"X-API-Key": make_key()}) as client:
            made = await client.post(EXPERIMENTS, json={"name": "a user's own words"}, headers={"X-Request-Id": "mine"})
            assert made.status_code == 201
    finally:
        served.stop()
    statements = [entry for entry in map(json.loads, served.log().splitlines()) if entry["message"] == "statement"]
    (inserted,) = [entry for entry in statements if entry["sql"].startswith("INSERT INTO experiments")]
    assert (inserted["request_id"], inserted["error"]) == ("mine", None)
    assert inserted["ms"] > 0
    assert "a user's own words" not in served.log()
