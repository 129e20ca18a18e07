"""`holdfast runbook` as people and scripts use it."""

import json
import logging
import os
import pty
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runbooks.engine import toys
from tests.runbooks.engine.conftest import Said, World
from tests.waiting import wait_until

Call = Callable[..., Said]
VERDICTS = [("ok", 0, "done"), ("mended", 0, "done"), ("fault", 5, "faults"), ("unknown", 6, "incomplete")]


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


@pytest.mark.parametrize(("result", "code", "verdict"), VERDICTS)
def test_the_exit_code_says_what_was_found(world: World, call: Call, result: str, code: int, verdict: str) -> None:
    world.order("three", f"find {result}")
    said = call("run", "toy-reads", world.asked(), *world.options("--json"))
    assert said.code == code
    document = said.document
    assert isinstance(document, dict)
    assert document["verdict"] == verdict
    assert [(one["number"], one["result"]) for one in document["findings"]] == [(1, result)]
    assert "Test of three: this" in said.err


def test_a_run_leaves_a_verdict_and_a_report_for_its_owner_only(world: World, call: Call) -> None:
    said = call("run", "toy-three", world.asked(), *world.options("--json", "--yes"))
    document = said.document
    assert isinstance(document, dict)
    reports = world.folder / "state" / "reports"
    page, verdict = reports / f"{document['run']}.md", reports / f"{document['run']}.json"
    assert json.loads(verdict.read_text()) == document
    assert [step["name"] for step in document["steps"]] == ["one", "two", "three"]
    assert document["rto_s"] == 1.5
    told = page.read_text()
    assert told.startswith("# toy-three on toy: done\n")
    assert "| RTO | 1.5 s |" in told
    assert "1. pulumi refresh" in told
    assert "| 1 | Nobody forbids it | ok | nobody |  |" in told
    assert [stat.S_IMODE(path.stat().st_mode) for path in (page, verdict, reports)] == [0o600, 0o600, 0o700]
    assert str(page) in said.err


def test_a_failure_says_how_to_go_on_and_that_works(world: World, call: Call) -> None:
    world.order("two", "fail X")
    said = call("run", "toy-three", world.asked(), *world.options("--yes"))
    assert (said.code, said.out) == (1, "")
    command = lines(said.err)[-1].partition("holdfast runbook ")[2].split()
    assert command[0] == "resume"
    resumed = call(*command, "--state", str(world.folder / "state"), "--json")
    assert resumed.code == 0
    again = call(*command, "--state", str(world.folder / "state"), "--json")
    assert again.code == 3
    assert again.document == {"verdict": "refused", "message": f"run {command[1]} is done; there is nothing to resume"}


def test_a_refused_run_changes_nothing(world: World, call: Call) -> None:
    world.order("forbidden", "")
    said = call("run", "toy-three", world.asked(), *world.options("--yes", "--json"))
    assert said.code == 3
    assert isinstance(said.document, dict)
    assert said.document["message"] == "Nobody forbids it: no, somebody does; ask them"
    dry = call("run", "toy-three", world.asked(), *world.options("--dry-run"))
    assert (dry.code, dry.out) == (3, "")
    assert call("history", "--json", "--state", str(world.folder / "state")).document == []
    assert world.trace == []


def test_a_dry_run_shows_each_step_and_does_none(world: World, call: Call) -> None:
    said = call("run", "toy-destroys", world.asked(), *world.options("--dry-run"))
    assert (said.code, said.out) == (0, "")
    assert "(destroys)" in said.err
    said = call("run", "toy-destroys", world.asked(), *world.options("--dry-run", "--json"))
    assert said.document == [{"step": step, "before": "now", "after": "then"} for step in ("one", "two")]
    assert world.trace == []
    assert not (world.folder / "state").exists()


@pytest.mark.parametrize(
    ("procedure", "options", "helps"),
    [
        ("toy-three", [], "give --yes"),
        ("toy-destroys", ["--yes"], "give --confirm main"),
        ("toy-destroys", ["--confirm", "mian"], "--confirm mian is not instance main"),
        ("toy-three", ["--confirm", "mian"], "--confirm mian is not instance main"),
    ],
)
def test_without_a_yes_nothing_is_begun(
    world: World, call: Call, procedure: str, options: list[str], helps: str
) -> None:
    said = call("run", procedure, world.asked(), *world.options(*options))
    assert said.code == 4
    assert helps in said.err
    assert len(lines(said.err)) == 1
    assert world.trace == []


def test_what_destroys_goes_on_by_the_name_given_which_a_resume_asks_for_again(world: World, call: Call) -> None:
    world.order("two", "fail X")
    assert call("run", "toy-destroys", world.asked(), *world.options("--confirm", "main")).code == 1
    (run,) = [one["run"] for one in call("history", "--json", *world.options()[2:]).document]  # type: ignore[index]
    declined = call("resume", run, *world.options("--json")[2:])
    assert declined.code == 4
    assert world.trace == ["one", "two"]
    assert call("resume", run, *world.options("--confirm", "main")[2:]).code == 0
    assert world.trace == ["one", "two", "two"]


def typed(world: World, *arguments: str, text: str) -> tuple[int, str]:
    """A command on a terminal, at which one types when asked for the instance's name."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        world.command(*arguments), stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = ""
    try:
        while True:
            said += os.read(ours, 4096).decode()
            if "(main): " in said and text:
                os.write(ours, text.encode())
                text = ""
    except OSError:
        # The terminal's end: the process has closed it.
        pass
    finally:
        os.close(ours)
    return process.wait(60), said


def test_on_a_terminal_the_name_is_typed(world: World) -> None:
    code, said = typed(world, "run", "toy-destroys", world.asked(), *world.options("--yes"), text="mian\n")
    assert code == 4, said
    assert "may destroy: instances.restart" in said
    (entry,) = world.journal.entries()
    # Ctrl-D, then the name with a blank after it; at a resume it is asked in another thread.
    code, said = typed(world, "resume", entry.id, *world.options()[2:], text="\x04")
    assert code == 4, said
    assert "Traceback" not in said
    assert world.trace == ["one"]
    code, said = typed(world, "resume", entry.id, *world.options()[2:], text="main \n")
    assert code == 0, said
    assert world.trace == ["one", "two"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_as_a_crash_does(world: World, number: signal.Signals) -> None:
    world.order("two", "hold")
    working = world.start("run", "toy-three", world.asked(), *world.options("--yes"))
    wait_until(lambda: world.trace == ["one", "two"])
    working.send_signal(number)
    out, err = working.communicate(timeout=10)
    assert (working.returncode, out) == (128 + number, "")
    assert "holdfast runbook resume" in err
    assert "Traceback" not in err
    (world.folder / "two").unlink()
    assert world.resume(toys.THREE).state == "done"
    assert world.trace == ["one", "two", "two", "three", "left"]


def test_looking_shows_everything_and_executes_nothing(world: World, call: Call) -> None:
    world.order("two", "die")
    assert world.run("run", "toy-three", world.asked(), *world.options("--yes")).returncode == -signal.SIGKILL
    before = world.trace
    state = world.options()[2:]
    listed = call("history", "--json", *state).document
    assert isinstance(listed, list)
    (row,) = listed
    assert (row["state"], row["steps"], row["instance"]) == ("interrupted", 1, "main")
    assert row["run"] in call("history", *state).out
    shown = call("history", row["run"], *state)
    assert lines(shown.out)[0] == f"{row['run']}: interrupted, on main"
    assert lines(shown.out)[1].startswith("one: done, ")
    assert isinstance(call("history", row["run"], "--json", *state).document, dict)
    assert "toy-three" in call("list").out
    assert {"name": "toy-destroys", "title": "Destroys", "destroys": True, "changes": True} in call(
        "list", "--json"
    ).document  # type: ignore[operator]
    assert "the instance's name has to be typed" in call("show", "toy-destroys").out
    assert world.trace == before
    assert world.journal.entries()[0].outcome is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["toy-tree"], "no procedure toy-tree; there are: "),
        (["toy-three"], "toy-three: world: field required; it asks for world (the folder that the steps change)"),
        (["toy-three", "world"], "world: write FIELD=VALUE; it asks for world"),
        (["toy-three", "world=/", "world=/"], "world was given twice"),
        (["toy-three", "world=/", "times=0"], "toy-three: times: input should be greater than or equal to 1"),
        (["toy-three", "world=/", "tmies=1"], "toy-three: tmies: extra inputs are not permitted; it asks for world"),
        (["toy-three", "world=/"], "say which environment: one of --stack NAME, --target FILE or --sandbox"),
        (["toy-three", "world=/", "--sandbox", "--stack", "a"], "say which environment: one of"),
        (["toy-three", "world=/", "--sandbox"], "start one: holdfast rehearse --serve"),
        (["toy-three", "world=/", "--target", "none.json"], "the target none.json cannot be read: "),
    ],
)
def test_what_cannot_be_understood_is_said_in_a_line(call: Call, arguments: list[str], says: str) -> None:
    said = call("run", *arguments)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert len(lines(said.err)) == 1


def test_an_unknown_run_is_said_in_a_line(world: World, call: Call) -> None:
    for command in ("resume", "history"):
        said = call(command, "nothing", *world.options()[2:])
        assert (said.code, said.out) == (2, "")
        assert "no run nothing in " in said.err


def fake_pulumi(folder: Path, script: str) -> None:
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_stack_s_output_is_the_target(world: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["run", "toy-reads", world.asked(), "--state", str(world.folder / "state"), "--stack", "prod"]
    monkeypatch.setenv("PATH", str(world.folder))
    said = call(*asked)
    assert said.code == 2
    assert "--stack needs the program pulumi" in said.err
    fake_pulumi(world.folder, "echo 'error: no stack named' >&2; echo \"'prod' found\" >&2; exit 255")
    said = call(*asked)
    assert said.code == 2
    assert lines(said.err) == ["holdfast: pulumi stack output target --stack prod: error: no stack named 'prod' found"]
    fake_pulumi(world.folder, "echo '{\"version\": 1}'")
    assert "the output target of stack prod is no target: name: field required" in call(*asked).err
    wanted = "stack output target --json --stack prod --non-interactive"
    fake_pulumi(world.folder, f"[ \"$*\" = '{wanted}' ] && echo '{toys.target().model_dump_json()}'")
    assert call(*asked).code == 0


def test_dbos_says_nothing(world: World, call: Call) -> None:
    said = call("run", "toy-three", world.asked(), *world.options("--yes"))
    assert "DBOS" not in said.err
    assert logging.getLogger("dbos").level == logging.CRITICAL
