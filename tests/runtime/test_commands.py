"""`python -m runtime`: its help, its exit codes, and one clear line when something is wrong."""

from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from runbooks.local.ports import HOST, free_port
from runtime.commands.app import register
from tests.conftest import PASSWORD, SECRET, TestDatabase, as_secret
from tests.running import call, environment_of, runtime

app = typer.Typer()
register(app)
COMMANDS = (
    ("serve",),
    ("migrate",),
    ("partitions",),
    ("forget-idempotency-keys",),
    ("recovery-marker",),
    ("verify-backup",),
    ("publish-metrics",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("keys", "rotate"),
)
# Each with the arguments that it cannot do without.
CALLS = {
    "serve": ("serve",),
    "migrate": ("migrate",),
    "partitions": ("partitions",),
    "forget-idempotency-keys": ("forget-idempotency-keys",),
    "recovery-marker": ("recovery-marker",),
    "verify-backup": ("verify-backup",),
    "publish-metrics": ("publish-metrics",),
    "keys create": ("keys", "create", "--subject", "s", "--scopes", "ard:read"),
    "keys list": ("keys", "list"),
    "keys revoke": ("keys", "revoke", "abcdefgh"),
    "keys rotate": ("keys", "rotate", "abcdefgh"),
}


def test_the_help_names_every_command(tmp_path: Path) -> None:
    done = runtime("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for first, *_ in COMMANDS:
        assert f" {first} " in done.stdout


def test_the_list_of_commands_here_has_every_command() -> None:
    root = typer.main.get_command(app)
    found = {
        f"{name} {inner}".strip() for name, each in root.commands.items() for inner in getattr(each, "commands", [""])
    }
    assert found == set(CALLS) == {" ".join(each) for each in COMMANDS}


@pytest.mark.parametrize("command", [(), ("keys",), *COMMANDS], ids=" ".join)
def test_each_command_explains_itself_without_settings(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    assert "Usage: " in done.output
    assert len(done.output.splitlines()) > 5


@pytest.mark.parametrize("arguments", [("nothing",), ("keys", "nothing"), ("migrate", "--nothing"), ("keys", "revoke")])
def test_a_wrong_call_ends_with_2(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize("command", CALLS)
def test_without_settings_a_command_says_which_one_is_missing(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(monkeypatch, capsys, *CALLS[command], environment={"SECRET_KEY": SECRET})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "holdfast: DATABASE_URL: not set; set it, or DB_HOST and DB_USER, or GCP_SQL_INSTANCE and DB_USER\n"
    )


def test_every_wrong_setting_is_a_line_and_no_traceback(tmp_path: Path) -> None:
    done = runtime("serve", cwd=tmp_path, environment={"SECRET_KEY": "short", "API_PORT": "http"})
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert {line.removeprefix("holdfast: ").partition(":")[0] for line in lines} == {"SECRET_KEY", "API_PORT"}


@pytest.mark.parametrize("command", ["migrate", "partitions", "keys create", "keys list"])
def test_a_database_that_is_down_is_one_line_with_its_address(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    environment = {
        "DB_HOST": HOST,
        "DB_PORT": str(port),
        "DB_USER": "somebody",
        "DB_PASSWORD": PASSWORD,
        "SECRET_KEY": SECRET,
    }
    done = call(monkeypatch, capsys, *CALLS[command], environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("holdfast: ")
    assert done.stderr.count("\n") == 1
    for part in (HOST, str(port), "Connection refused"):
        assert part in done.stderr
    assert PASSWORD not in done.stderr


def test_a_database_without_schema_or_rights_is_one_line(database: TestDatabase, tmp_path: Path) -> None:
    as_reader = environment_of(database) | {
        "JOBS_DATABASE_URL": as_secret(database.url("reader_login")).get_secret_value()
    }
    done = runtime("partitions", cwd=tmp_path, environment=as_reader)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "holdfast: the database: permission denied for function ensure_metric_partitions\n"


def test_migrate_and_partitions_say_what_they_did(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        done = call(monkeypatch, capsys, *arguments, environment=environment_of(database))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert said("migrate").endswith(", nothing to do; roles and grants checked\n")
    made = said("partitions", "--months-ahead", "4")
    assert made.endswith(" made, 0 waiting rows moved into it\n")
    assert made.count("\n") == 1
    assert said("partitions") == "all partitions are there\n"
