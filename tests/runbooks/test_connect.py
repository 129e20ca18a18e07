"""`holdfast connect`: a real child, and PostgreSQL's own protocol through it."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from runbooks.connect.commands import register
from runbooks.connect.errors import ConnectError
from runbooks.connect.process import run
from runbooks.local.ports import free_port
from runbooks.local.postgres import PostgresServer
from tests.runbooks import gcloud
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
# As `holdfast connect` is, whatever entry points are installed.
COMMAND = (
    sys.executable,
    "-c",
    "import typer; from runbooks.connect.commands import register; app = typer.Typer(); register(app); app()",
)


class Machine:
    """An operator's machine, with a gcloud of its own in the path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[str]] = []
        program = folder / "gcloud"
        program.write_text(f"#!{sys.executable}\n{Path(gcloud.__file__).read_text(encoding='utf-8')}", encoding="utf-8")
        program.chmod(0o755)

    @property
    def call(self) -> dict[str, Any]:
        """What gcloud was asked, and its process."""
        asked: dict[str, Any] = json.loads((self._folder / gcloud.CALL).read_text())
        return asked

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}"}

    def connect(self, port: int, **behaviour: object) -> "subprocess.Popen[str]":
        """Begin the command."""
        (self._folder / gcloud.BEHAVIOUR).write_text(json.dumps(behaviour))
        child = subprocess.Popen(
            [*COMMAND, "prod", "--port", str(port)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child

    def end(self) -> None:
        for child in self._children:
            child.kill()
        # A tunnel that outlived it would hold its output open.
        for process in psutil.process_iter(["cmdline"]):
            if str(self._folder / "gcloud") in (process.info["cmdline"] or ()):
                process.kill()
        for child in self._children:
            child.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


def line_of(child: "subprocess.Popen[str]", word: str) -> str:
    """The next line of its output with a word in it."""
    assert child.stdout is not None
    return next(line for line in child.stdout if word in line)


def refused(*arguments: str) -> str:
    ended = invoke(*arguments)
    assert isinstance(ended.exception, ConnectError), ended.output
    assert ended.stdout == ""
    return str(ended.exception)


def invoke(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_postgresql_is_reached_through_it_until_it_is_stopped(
    machine: Machine, server: PostgresServer, stop: signal.Signals
) -> None:
    port = free_port()
    child = machine.connect(port, leads_to=server.port)
    words = line_of(child, "psql")
    assert f"port={port} dbname=holdfast sslmode=disable" in words
    assert "gcloud sql generate-login-token" in words
    assert f'"port": {port}' in line_of(child, '"connection"')
    url = server.url.set(port=port)
    with psycopg2.connect(url.render_as_string(hide_password=False).replace("+psycopg2", "")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT repeat('x', 100000)")
        assert len(cursor.fetchone()[0]) == 100_000
    connection.close()
    call = machine.call
    assert (call["instance_name"], call["instance_port"]) == ("holdfast-bastion", 5432)
    assert (call["zone"], call["project"]) == ("us-central1-b", "holdfast-prod")
    assert call["local_host_port"] == f"127.0.0.1:{port}"
    child.send_signal(stop)
    assert child.wait(20) == 0
    assert not psutil.pid_exists(call["pid"])


def test_when_gcloud_refuses_its_line_and_its_code_are_shown(machine: Machine) -> None:
    child = machine.connect(free_port(), fails="[4033: 'not authorized']")
    said, errors = child.communicate(timeout=20)
    assert (child.returncode, said) == (3, "")
    assert errors == "ERROR: (gcloud.compute.start-iap-tunnel) [4033: 'not authorized']\n"


def test_when_the_tunnel_ends_by_itself_so_does_the_command(machine: Machine, server: PostgresServer) -> None:
    child = machine.connect(free_port(), leads_to=server.port)
    line_of(child, "psql")
    os.kill(machine.call["pid"], signal.SIGKILL)
    assert child.wait(20) == 128 + signal.SIGKILL


def test_a_tunnel_that_never_accepts_has_a_deadline_and_is_ended(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / gcloud.BEHAVIOUR).write_text(json.dumps({"deaf": True, "leads_to": 1}))
    port = free_port()
    command = (str(tmp_path / "gcloud"), *dry_run(port)[1:])
    with pytest.raises(ConnectError, match=rf"did not accept on port {port} within 1 s"):
        run(command, port, lambda: None, seconds=1.0)
    wait_until(lambda: not psutil.pid_exists(machine.call["pid"]))


def dry_run(port: int) -> list[str]:
    shown = invoke("prod", "--port", str(port), "--dry-run")
    assert shown.exit_code == 0, shown.output
    return shlex.split(shown.stdout)


def test_a_dry_run_shows_the_command() -> None:
    assert dry_run(6543) == [
        "gcloud",
        "compute",
        "start-iap-tunnel",
        "holdfast-bastion",
        "5432",
        "--local-host-port=127.0.0.1:6543",
        "--zone=us-central1-b",
        "--project=holdfast-prod",
    ]


def test_without_gcloud_it_says_where_it_is_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused("prod") == "gcloud is not in the PATH; install it: https://cloud.google.com/sdk/docs/install"


def test_a_port_that_is_taken_is_refused_before_anything_starts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", machine.environment["PATH"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("prod", "--port", str(port)).startswith(f"port {port} is in use; free it or choose another")


def test_without_a_bastion_it_says_which_setting() -> None:
    assert refused("dev") == (
        "dev has no bastion: write access.bastion: true into Pulumi.dev.yaml, with access.operators, and run pulumi up"
    )


def test_a_stack_that_is_none_is_a_line() -> None:
    assert refused("prd").startswith("there is no stack 'prd'; did you mean 'prod'?")
