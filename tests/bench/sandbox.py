"""The local cloud: how soon it answers, and how long recovery, failover, a clone and a backup take."""

import statistics
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import psycopg2
from pydantic import SecretStr

from runbooks.sandbox.engine.programs import programs_of
from tests.bench.answers import DifferentAnswersError
from tests.bench.client import LoadError
from tests.bench.cloud import Address, Cloud, Connection, serving
from tests.bench.raw_tools import RawTools
from tests.bench.results import Result, Results, medians

# Of instances that end with the run.
PASSWORD = "bench-password"
SOURCE = "source"
BACKED_UP = {"backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True}}
BEFORE, AFTER = "before the moment", "after the moment"
VERIFY = "SELECT count(*), (SELECT array_agg(word) FROM mark) FROM reading"
READINGS = "SELECT n AS id, n % 97 AS sensor, n * 0.5::float8 AS value FROM generate_series({}, {}) AS n"
# On what the work of a recovery depends: the raw tools' server has the source's.
COMPARED = ("fsync", "full_page_writes", "synchronous_commit", "shared_buffers", "max_connections", "max_wal_size")
FAILOVER_SECONDS = 60.0
RETRY_SECONDS = 0.005


def measure(folder: Path, results: Results, *, rows: int, rounds: int, tell: Callable[[str], None]) -> None:
    """All of it.

    Raises:
        LoadError: it does not start, or nobody takes over.
        DifferentAnswersError: what was recovered is not what was there.
        CloudSqlError: an operation fails.
    """
    state = folder / "cloud"
    tell("measuring: sandbox")
    with serving(state) as cloud:
        run = _Run(cloud, state, folder, rows, results)
        run.fill()
    boots = []
    for _ in range(rounds - 1):
        with serving(state) as cloud:
            boots.append(cloud.boot_seconds)
    with serving(state) as cloud:
        boots.append(cloud.boot_seconds)
        run = _Run(cloud, state, folder, rows, results)
        meaning = f"holdfast sandbox, from the command to the first answer; it has one instance of {rows:,} rows"
        results.found["sandbox_boot_s"] = Result(statistics.median(boots), None, "s", meaning)
        for part in (run.recovery, run.copies, run.failover):
            part(rounds)


class _Run:
    def __init__(self, cloud: Cloud, state: Path, folder: Path, rows: int, results: Results) -> None:
        self._cloud, self._client = cloud, cloud.client
        self._state, self._folder = state, folder
        self._rows, self._results = rows, results
        self._numbers = count(1)

    def fill(self) -> None:
        """Half of the rows come into the base backup, half into the log after it."""
        made = self._client.instances.insert(
            SOURCE,
            database_version="POSTGRES_18",
            region="us-central1",
            tier="db-custom-1-3840",
            edition="ENTERPRISE",
            settings=BACKED_UP,
            deletion_protection=False,
            root_password=SecretStr(PASSWORD),
        )
        self._client.wait(made)
        source = self._cloud.address(SOURCE, PASSWORD)
        source.ask("CREATE TABLE mark (word text)")
        source.ask(f"CREATE TABLE reading AS {READINGS.format(1, self._rows // 2)}")
        self._client.wait(self._client.backup_runs.insert(SOURCE))
        source.ask(f"INSERT INTO reading {READINGS.format(self._rows // 2 + 1, self._rows)}")

    def recovery(self, rounds: int) -> None:
        """To a moment between two transactions, through the API and by the raw tools."""
        source = self._cloud.address(SOURCE, PASSWORD)
        (run,) = self._client.backup_runs.list(SOURCE, limit=1)
        (base,) = self._state.glob(f"sql/backups/*/{run.id}/data")
        (archive,) = self._state.glob(f"sql/archives/{base.parents[1].name}/*")
        settings = {name: str(source.ask(f"SHOW {name}")[0][0]) for name in COMPARED}
        tools = RawTools(programs_of(18), base, archive, settings, PASSWORD)
        source.ask(f"INSERT INTO mark VALUES ('{BEFORE}')")
        ((target,),) = source.ask("SELECT clock_timestamp()")
        source.ask(f"INSERT INTO mark VALUES ('{AFTER}')")

        def ours() -> float:
            name, began = self._new_name(), time.perf_counter()
            self._client.wait(self._client.instances.clone(SOURCE, name, point_in_time=target))
            self._verify(self._cloud.address(name, PASSWORD))
            took = time.perf_counter() - began
            self._delete(name)
            return took

        def raw() -> float:
            into, began = self._folder / self._new_name(), time.perf_counter()
            self._verify(tools.recover(into, target))
            took = time.perf_counter() - began
            tools.remove(into)
            return took

        # Ours first: it is the source's own server that brings the log's last piece into the archive.
        found = medians({"ours": ours, "raw": raw}, rounds=rounds)
        meaning = f"{self._rows:,} rows at a moment again, looked at; peer: cp, restore_command and pg_ctl by a script"
        self._results.found["pitr_vs_raw_tools"] = Result(found["ours"], found["raw"], "s", meaning)
        self._results.notes.append(
            "recovery: half of the rows are in the base backup, half in the log; fsync is "
            f"{settings['fsync']} on both sides; ours also verifies the backup"
        )

    def failover(self, rounds: int) -> None:
        """Of an instance with high availability, as one of its clients sees it."""
        self._client.wait(self._client.instances.patch(SOURCE, availability="REGIONAL"))
        address = self._cloud.address(SOURCE, PASSWORD)

        def seconds() -> float:
            writer = _Writer(address)
            killed = writer.write()
            began = time.perf_counter()
            operation = self._client.instances.failover(SOURCE)
            while writer.write() in (killed, None):
                if time.perf_counter() - began > FAILOVER_SECONDS:
                    message = f"no write was acknowledged in {FAILOVER_SECONDS:.0f} s after the failover's call"
                    raise LoadError(message)
            took = time.perf_counter() - began
            self._client.wait(operation)
            writer.close()
            return took

        meaning = "from instances.failover, which kills the primary, to the standby's first acknowledged write"
        took = medians({"ours": seconds}, rounds=rounds)["ours"]
        self._results.found["failover_s"] = Result(took, None, "s", meaning)

    def copies(self, rounds: int) -> None:
        """A clone as it is now, and a backup."""

        def clone() -> float:
            name, began = self._new_name(), time.perf_counter()
            self._client.wait(self._client.instances.clone(SOURCE, name))
            took = time.perf_counter() - began
            self._delete(name)
            return took

        def backup() -> float:
            began = time.perf_counter()
            self._client.wait(self._client.backup_runs.insert(SOURCE))
            return time.perf_counter() - began

        found = medians({"clone": clone, "backup": backup}, rounds=rounds)
        for name, seconds in found.items():
            meaning = f"a {name} of {self._rows:,} rows, from the call to the operation's end"
            self._results.found[f"{name}_s"] = Result(seconds, None, "s", meaning)

    def _delete(self, name: str) -> None:
        self._client.wait(self._client.instances.delete(name, final_backup=False))

    def _verify(self, address: Address) -> None:
        found = address.ask(VERIFY)
        if found != [(self._rows, [BEFORE])]:
            message = f"{found} was recovered, and there were {self._rows} rows and one mark"
            raise DifferentAnswersError(message)

    def _new_name(self) -> str:
        return f"copy-{next(self._numbers)}"


class _Writer:
    """A client that keeps trying."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None

    def write(self) -> int | None:
        """Write a row.

        Returns:
            The port of the server that acknowledged it, by which primary and standby differ; None: nobody did.
        """
        try:
            self._connection = self._connection or self._address.connect()
            with self._connection.cursor() as cursor:
                cursor.execute("INSERT INTO mark VALUES ('x') RETURNING inet_server_port()")
                return int(cursor.fetchall()[0][0])
        except psycopg2.Error:
            self.close()
            time.sleep(RETRY_SECONDS)
            return None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
