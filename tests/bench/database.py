"""PostgreSQL without a server in front: pgbench runs our SQL, psql copies our rows."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import URL

from runtime.db.query import Query

_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_TIME = re.compile(r"^Time: ([\d.]+) ms", re.MULTILINE)
PGBENCH_CLIENTS = 16


def _connection(url: URL) -> dict[str, str]:
    return {
        **os.environ,
        "PGHOST": str(url.host),
        "PGPORT": str(url.port),
        "PGUSER": str(url.username),
        "PGPASSWORD": str(url.password),
        "PGDATABASE": str(url.database),
    }


class Pgbench:
    """pgbench on one statement with fixed values, prepared once a connection as our driver does."""

    def __init__(self, programs: Path, url: URL, folder: Path) -> None:
        self._program, self._environment, self._folder = programs / "pgbench", _connection(url), folder

    def rate(self, query: Query, values: Mapping[str, object], *, seconds: float) -> float:
        """Statements a second."""
        return float(_RATE.findall(self._run(query, values, "-c", str(PGBENCH_CLIENTS), seconds=seconds))[0])

    def latencies(self, query: Query, values: Mapping[str, object], *, rate: int, seconds: float) -> list[float]:
        """Milliseconds of each statement at a given rate, counted from when it was due."""
        self._run(query, values, "-c", "8", "-R", str(rate), "-l", "--log-prefix=latency", seconds=seconds)
        lines = [line.split() for log in self._folder.glob("latency.*") for line in log.read_text().splitlines()]
        return [int(line[2]) / 1000 for line in lines]

    def _run(self, query: Query, values: Mapping[str, object], *options: str, seconds: float) -> str:
        script = self._folder / "statement.sql"
        script.write_text(re.sub(r"\$(\d+)", r":p\1", query.sql) + ";\n")
        arguments = query.arguments(dict(values))
        given = [part for place, value in enumerate(arguments, 1) for part in ("-D", f"p{place}={value}")]
        command = [str(self._program), "-n", "-M", "prepared", "-T", str(max(1, round(seconds))), "-f", str(script)]
        done = subprocess.run(
            [*command, *given, *options],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=True,
        )
        return done.stdout


def copy_seconds(programs: Path, url: URL, table: str, columns: Sequence[str], files: Sequence[Path]) -> float:
    """Seconds that psql takes to copy the files, one statement each; its own start is not counted."""
    script = "\\set ON_ERROR_STOP on\n\\timing on\n" + "".join(
        f"\\copy {table} ({', '.join(columns)}) FROM '{file}' CSV\n" for file in files
    )
    done = subprocess.run(
        [str(programs / "psql"), "-X", "-q", "-f", "-"],
        input=script,
        env=_connection(url),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    times = _TIME.findall(done.stdout)
    assert len(times) == len(files), done.stdout
    return sum(map(float, times)) / 1000
