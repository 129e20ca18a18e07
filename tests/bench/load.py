"""Requests a second of a server under load: by wrk where it is installed, else by a generator of our own."""

import json
import re
import resource
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from runbooks.local.ports import HOST
from tests.bench.client import LoadError, closed_loop, encode

CONNECTIONS = 32
# The requests are made once; one thread sends them in turn.
_SCRIPT = """
local requests, place = {}, 0
function init()
  for name, value in pairs(%s) do wrk.headers[name] = value end
  for _, path in ipairs(%s) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
  place = place %% #requests + 1
  return requests[place]
end
"""


@dataclass
class Generator:
    """Sends load, and keeps account of the processor time that it takes from what it measures."""

    folder: Path
    wrk: str | None
    most_cpu: float = 0.0

    @property
    def name(self) -> str:
        return "wrk (1 thread)" if self.wrk else "our own generator (1 thread), since wrk is not installed"

    def rate(self, port: int, paths: Sequence[str], headers: Mapping[str, str], *, seconds: float) -> float:
        """Answers a second.

        Raises:
            LoadError: an answer was an error.
        """
        kind = resource.RUSAGE_CHILDREN if self.wrk else resource.RUSAGE_SELF
        before = resource.getrusage(kind)
        if self.wrk:
            rate = self._by_wrk(port, paths, headers, seconds=seconds)
        else:
            requests = [encode(path, headers) for path in paths]
            rate = uvloop.run(closed_loop(port, requests, connections=CONNECTIONS, seconds=seconds))
        after = resource.getrusage(kind)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.most_cpu = max(self.most_cpu, used / seconds)
        return rate

    def _by_wrk(self, port: int, paths: Sequence[str], headers: Mapping[str, str], *, seconds: float) -> float:
        script = self.folder / "requests.lua"
        script.write_text(_SCRIPT % (_lua_table(headers), "{" + ", ".join(map(json.dumps, paths)) + "}"))
        whole = max(1, round(seconds))
        command = [
            str(self.wrk),
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{whole}s",
            "--timeout",
            "20s",
            "-s",
            str(script),
            f"http://{HOST}:{port}",
        ]
        said = subprocess.run(command, capture_output=True, text=True, timeout=whole + 30, check=True).stdout
        found = re.search(r"^Requests/sec:\s+([\d.]+)", said, re.MULTILINE)
        if found is None or "Non-2xx" in said or "Socket errors" in said:
            message = f"{paths[0]}: {said}"
            raise LoadError(message)
        return float(found[1])


def _lua_table(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in values.items()) + "}"
