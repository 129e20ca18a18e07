"""`holdfast connect`: a real child, and through it instances that let in connectors only."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg2
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from runbooks.connect import socks
from runbooks.connect.commands import register
from runbooks.connect.errors import ConnectError
from runbooks.connect.primary import chosen
from runbooks.connect.process import run
from runbooks.engine import findings, report
from runbooks.engine.errors import FailedError
from runbooks.engine.target import Connector
from runbooks.engine.tools import Tools
from runbooks.local.ports import free_port
from runbooks.procedures import diagnose_connection
from runbooks.procedures.prober import Prober
from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.stage import Stage
from runtime.cloudsql.models import Instance
from tests.runbooks import gcloud
from tests.runbooks.procedures.runs import Runs
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
# As `holdfast connect` is, whatever entry points are installed.
COMMAND = (
    sys.executable,
    "-c",
    "import typer; from runbooks.connect.commands import register; app = typer.Typer(); register(app); app()",
)
# The stack of the sandbox's project, whose instance has another name than Pulumi would give it.
STACK = "rehearsal"
CLONE = "holdfast-database-0a1b2c3"


class Machine:
    """An operator's machine, with a gcloud of its own in the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[subprocess.Popen[str]] = []
        self.port, self.socks_port = free_port(), free_port()
        program = folder / "gcloud"
        program.write_text(f"#!{sys.executable}\n{Path(gcloud.__file__).read_text(encoding='utf-8')}", encoding="utf-8")
        program.chmod(0o755)
        (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
        settings = (ROOT / "Pulumi.dev.yaml").read_text().replace("project: holdfast-dev", "project: rehearsal")
        (folder / f"Pulumi.{STACK}.yaml").write_text(settings)

    @property
    def call(self) -> dict[str, Any]:
        """What gcloud was asked, and its process."""
        asked: dict[str, Any] = json.loads((self.folder / gcloud.CALL).read_text())
        return asked

    @property
    def went(self) -> list[str]:
        """Where connections through the tunnel went."""
        path = self.folder / gcloud.WENT
        return path.read_text().split() if path.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}

    @property
    def through(self) -> str:
        return f"socks5://127.0.0.1:{self.socks_port}"

    def behave(self, **behaviour: object) -> None:
        (self.folder / gcloud.BEHAVIOUR).write_text(json.dumps(behaviour))

    def connect(self, *options: str, **behaviour: object) -> "subprocess.Popen[str]":
        """Begin the command."""
        self.behave(**behaviour)
        ports = (f"--port={self.port}", f"--socks-port={self.socks_port}")
        child = subprocess.Popen(
            [*COMMAND, STACK, f"--project={self.folder}", *ports, *options],
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
            if str(self.folder / "gcloud") in (process.info["cmdline"] or ()):
                process.kill()
        for child in self._children:
            child.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One sandbox for all, whose instance lets in connectors only."""
    with stages.base(by_connector=True) as base, stages.stage(tmp_path_factory.mktemp("connect"), *base) as made:
        yield made


@pytest.fixture(scope="module")
def clone(stage: Stage) -> Instance:
    """Another instance, as a recovery makes one, of the name that Pulumi would give."""
    admin = stage.tools.admin
    admin.wait(admin.instances.clone(stage.target.instance, CLONE))
    return admin.instances.get(CLONE)


def serving(stage: Stage) -> Instance:
    return stage.tools.admin.instances.get(stage.target.instance)


def through(machine: Machine) -> dict[str, Any]:
    """The target's connection, as the infrastructure says it."""
    return {"connection": Connector(via="connector", through=machine.through).model_dump(), "stack": STACK}


def tools(stage: Stage, machine: Machine) -> Tools:
    target = type(stage.target).model_validate(stage.target.model_dump() | through(machine))
    return Tools(target, stage.tools.permissions)


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


# --- Through it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_psql_reaches_the_instance_until_it_is_stopped(
    machine: Machine, stage: Stage, clone: Instance, stop: signal.Signals
) -> None:
    child = machine.connect(f"--admin-api={stage.endpoints['sql']}")
    assert json.loads(line_of(child, '"connection"').partition('"connection": ')[2])["through"] == machine.through
    assert clone.connection_name in line_of(child, "The database")
    as_oneself, as_operator = line_of(child, "psql"), line_of(child, "psql")
    for words in (as_oneself, as_operator):
        assert f"port={machine.port} dbname=holdfast sslmode=disable" in words
    assert "gcloud sql generate-login-token" in as_oneself
    assert "latest --secret=holdfast-operator-password --project=rehearsal" in as_operator
    password = stage.tools.secrets.newest(stage.target.operator.secret).get_secret_value()
    # As programs ask that are told nothing of TLS, and as one that goes by the line above.
    for more in ("", "?sslmode=disable"):
        url = f"postgresql://postgres:{password}@127.0.0.1:{machine.port}/holdfast{more}"
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        cursor.execute("SELECT repeat('x', 100000)")
        assert len(cursor.fetchone()[0]) == 100_000
        connection.close()
    assert machine.went == [f"{clone.ip_addresses[0].ip_address}:3307"] * 2
    call = machine.call
    assert (call["instance"], call["zone"], call["project"]) == ("holdfast-bastion", "us-central1-b", "rehearsal")
    assert call["dynamic"] == f"127.0.0.1:{machine.socks_port}"
    child.send_signal(stop)
    assert child.wait(20) == 0
    assert not psutil.pid_exists(call["pid"])
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(url)


def test_procedures_reach_every_instance_through_it_and_in_no_other_way(
    machine: Machine, stage: Stage, clone: Instance
) -> None:
    # As after a recovery: of the two, the settings say which one serves.
    settings = machine.folder / f"Pulumi.{STACK}.yaml"
    named = f"holdfast:database:\n    instance: {stage.target.instance}\n"
    settings.write_text(settings.read_text().replace("holdfast:database:\n", named))
    child = machine.connect(f"--admin-api={stage.endpoints['sql']}")
    assert f":{stage.target.instance}." in line_of(child, "The database")
    line_of(child, "or as the operator")
    console = tools(stage, machine)
    for instance in (serving(stage), clone):
        before = len(machine.went)
        assert console.query("SELECT 1", instance=instance.name) == [(1,)]
        assert machine.went[before:] == [f"{instance.ip_addresses[0].ip_address}:3307"]
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 0
    why = f"no tunnel is open at 127.0.0.1:{machine.socks_port}; open it: holdfast connect {STACK}"
    with pytest.raises(FailedError, match=why):
        console.query("SELECT 1", instance=clone.name)
    console.close()


def test_a_tunnel_that_is_missing_or_leads_nowhere_is_diagnosed(
    machine: Machine, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbooks.procedures.connection.way.SECONDS", 1.0)

    def diagnosed() -> list[tuple[str, findings.Result, str]]:
        ended = Runs(diagnose_connection.PROCEDURE, stage).begin(diagnose_connection.Asked(), **through(machine))
        return [(one.test, one.result, one.action) for one in report.findings_of(ended)]

    assert diagnosed()[0] == ("The tunnel is open", findings.Result.FAULT, f"holdfast connect {STACK}")
    child = machine.connect(f"--admin-api={stage.endpoints['sql']}", "--instance", stage.target.instance)
    line_of(child, "or as the operator")
    assert {result for _, result, _ in diagnosed()} == {findings.Result.OK}
    stage.accident(network="cut")
    try:
        [(test, _, action)] = [one for one in diagnosed() if one[1] is findings.Result.FAULT]
    finally:
        stage.accident(network="whole")
    assert test == "The port answers"
    assert action.endswith("gcloud compute firewall-rules list --project=rehearsal")


def test_who_writes_through_it_gives_up_a_server_that_says_nothing(
    machine: Machine, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbooks.procedures.prober.WRITE_SECONDS", 0.5)
    line_of(machine.connect(f"--admin-api={stage.endpoints['sql']}", "--instance=lost"), '"connection"')
    console = tools(stage, machine)
    with Prober(SimpleNamespace(tools=console, target=console.target, instance=lambda: serving(stage))) as prober:
        assert prober.written(3, seconds=10)
        assert len(machine.went) == 1
        stage.accident(network="cut")
        try:
            wait_until(lambda: len(machine.went) > 1)
        finally:
            stage.accident(network="whole")
        assert prober.written(len(prober.writes) + 3, seconds=20)
    console.close()


def test_where_no_instance_serves_procedures_have_their_tunnel_all_the_same(machine: Machine, stage: Stage) -> None:
    child = machine.connect(f"--admin-api={stage.endpoints['sql']}", "--instance=lost")
    line_of(child, '"connection"')
    assert child.stderr is not None
    assert f"There is no database at 127.0.0.1:{machine.port} for psql: " in child.stderr.readline()
    console = tools(stage, machine)
    assert console.query("SELECT 1") == [(1,)]
    console.close()


async def test_what_is_no_tunnel_is_said() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionAbortedError, match=rf"127\.0\.0\.1:{port} refuses: .*: holdfast connect prod"):
            await socks.opener(f"socks5://127.0.0.1:{port}", "prod")("10.20.0.3", 3307)


def test_one_that_serves_is_told_from_its_copies_or_asked_for() -> None:
    def instance(name: str, of: str | None = None) -> Instance:
        return Instance(name=f"holdfast-database{name}", master_instance_name=of)

    serves = instance("-0a1b2c3")
    others = (instance("-0a1b2c3-throwaway-0a1b2c"), instance("-dr-0a1b", of=serves.name), instance("s-of-others"))
    assert chosen((*others, serves), "holdfast-database") == serves
    restored = instance("-0a1b2c3-restored-0a1b2c")
    with pytest.raises(ConnectError, match=f"{serves.name}, {restored.name} are all primaries; .*--instance NAME"):
        chosen((*others, restored, serves), "holdfast-database")
    with pytest.raises(ConnectError, match=r"no primary named holdfast-database-…; .*--instance NAME"):
        chosen(others, "holdfast-database")


# --- The program -----------------------------------------------------------------------------------------------------


def test_when_gcloud_refuses_its_line_and_its_code_are_shown(machine: Machine) -> None:
    child = machine.connect(fails="[4033: 'not authorized']")
    said, errors = child.communicate(timeout=20)
    assert (child.returncode, said) == (3, "")
    assert errors == "ERROR: (gcloud.compute.ssh) [4033: 'not authorized']\n"


def test_when_the_tunnel_ends_by_itself_so_does_the_command(machine: Machine, stage: Stage) -> None:
    child = machine.connect(f"--admin-api={stage.endpoints['sql']}", "--instance", stage.target.instance)
    line_of(child, "or as the operator")
    os.kill(machine.call["pid"], signal.SIGKILL)
    assert child.wait(20) == 128 + signal.SIGKILL


def test_a_tunnel_that_never_accepts_has_a_deadline_and_is_ended(machine: Machine) -> None:
    machine.behave(deaf=True)
    port = machine.socks_port
    command = (str(machine.folder / "gcloud"), *dry_run(port)[1:])
    with pytest.raises(ConnectError, match=rf"did not accept on port {port} within 1 s"):
        run(command, port, lambda: None, seconds=1.0)
    wait_until(lambda: not psutil.pid_exists(machine.call["pid"]))


def dry_run(port: int) -> list[str]:
    shown = invoke("prod", "--socks-port", str(port), "--dry-run")
    assert shown.exit_code == 0, shown.output
    return shlex.split(shown.stdout)


def test_a_dry_run_shows_the_command() -> None:
    assert " ".join(dry_run(6543)) == (
        "gcloud compute ssh holdfast-bastion --tunnel-through-iap --zone=us-central1-b --project=holdfast-prod --quiet"
        " -- -N -D 127.0.0.1:6543 -o ExitOnForwardFailure=yes -o ServerAliveInterval=15"
    )


def test_without_gcloud_it_says_where_it_is_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused("prod") == "gcloud is not in the PATH; install it: https://cloud.google.com/sdk/docs/install"


@pytest.mark.parametrize("option", ["--port", "--socks-port"])
def test_a_port_that_is_taken_is_refused_before_anything_starts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("PATH", machine.environment["PATH"])
    free = {"--port": machine.port, "--socks-port": machine.socks_port}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        given = [str(word) for pair in {**free, option: port}.items() for word in pair]
        wanted = f"port {port} is in use; free it or choose another: holdfast connect STACK {option} N"
        assert refused("prod", *given) == wanted


def test_without_a_bastion_it_says_which_setting(machine: Machine) -> None:
    path = machine.folder / f"Pulumi.{STACK}.yaml"
    path.write_text(path.read_text().replace("bastion: true", "bastion: false"))
    assert refused(STACK, "--project", str(machine.folder)) == (
        "rehearsal has no bastion: write access.bastion: true into Pulumi.rehearsal.yaml, with access.operators, "
        "and run pulumi up"
    )


def test_a_stack_that_is_none_is_a_line() -> None:
    assert refused("prd").startswith("there is no stack 'prd'; did you mean 'prod'?")
