"""Runs go on where they were cut off, whatever cut them off; looking at them does nothing."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from dbos._migration import sqlite_migrations

from runbooks.engine.errors import RefusedError, RunbookError
from runbooks.engine.journal import Journal
from runbooks.engine.locks import instance_lock
from runbooks.engine.records import State
from runtime.errors import HoldfastError
from tests.runbooks.engine import toys
from tests.runbooks.engine.conftest import Hearing, World
from tests.waiting import wait_until

KILLED = -9


def test_steps_are_done_in_order_and_each_is_heard(world: World) -> None:
    hearing = Hearing()
    ended = world.execution(toys.THREE, hearing).begin()
    assert ended.state is State.DONE
    assert [record.step for record in ended.records] == ["one", "two", "three"]
    assert world.trace == ["one", "two", "three", "left"]
    assert hearing.heard[1:] == ["1/3 one", "one done", "2/3 two", "two done", "3/3 three", "three done"]
    assert ended.left_to_do == ("pulumi refresh",)
    assert stat.S_IMODE((world.folder / "state" / "runs.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((world.folder / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("step", ["one", "three"])
def test_a_run_killed_in_a_step_does_that_step_again_and_none_before_it(world: World, step: str) -> None:
    world.order(step, "die")
    killed = world.run("run", "toy-three", world.asked(), *world.options("--yes"))
    assert killed.returncode == KILLED, killed.stderr
    before = world.trace
    assert before[-1] == step
    with instance_lock(toys.target(), "the next run"):
        pass
    (entry,) = world.journal.entries()
    assert (entry.outcome, entry.runs, len(entry.steps)) == (None, False, len(before) - 1)
    ended = world.resume(toys.THREE)
    assert ended.state is State.DONE
    assert world.trace == [*before, *["one", "two", "three", "left"][len(before) - 1 :]]
    with pytest.raises(RefusedError, match="nothing to resume"):
        world.resume(toys.THREE)


def test_a_failed_step_is_done_again_at_the_resume_and_the_done_ones_are_not(world: World) -> None:
    world.order("two", "fail SOMETHING_ELSE")
    failed = world.execution(toys.THREE).begin()
    assert (failed.state, failed.message) == (State.FAILED, "two: two failed")
    assert world.trace == ["one", "two"]
    assert world.resume(toys.THREE).state is State.DONE
    assert world.trace == ["one", "two", "two", "three", "left"]


def test_only_a_known_outcome_is_undone(world: World) -> None:
    world.order("two", f"fail {toys.CODE}")
    failed = world.execution(toys.THREE).begin()
    assert [(record.step, record.state) for record in failed.records] == [
        ("one", State.DONE),
        ("two", State.FAILED),
        ("undo two", State.DONE),
    ]
    assert world.trace == ["one", "two", "undo-two"]
    assert world.resume(toys.THREE).state is State.DONE
    assert world.trace == ["one", "two", "undo-two", "two", "three", "left"]


def test_a_run_killed_while_it_undoes_first_ends_that(world: World) -> None:
    world.order("two", f"fail {toys.CODE}")
    world.order("undo-two", "die")
    assert world.run("run", "toy-three", world.asked(), *world.options("--yes")).returncode == KILLED
    assert world.resume(toys.THREE).state is State.FAILED
    assert world.trace == ["one", "two", "undo-two", "undo-two"]
    assert world.resume(toys.THREE).state is State.DONE
    assert world.trace[4:] == ["two", "three", "left"]


def test_a_defect_ends_the_run_in_a_line_without_what_came_after_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.order("two", "defect LINE 1: ALTER USER x PASSWORD 'hunter2'")
    failed = world.execution(toys.THREE).begin()
    assert failed.message == "two: a defect of the procedure: ValueError: two"
    assert "hunter2" not in (world.folder / "state" / "runs.sqlite").read_bytes().decode(errors="replace")
    said = capsys.readouterr()
    assert "toys.py" in said.err
    assert "hunter2" not in said.err.replace("{value}", "")
    assert not said.out


def test_what_is_left_to_do_cannot_spoil_what_was_done(world: World) -> None:
    world.order("left", "fail X")
    ended = world.execution(toys.THREE).begin()
    assert ended.state is State.DONE
    assert ended.left_to_do == ("what else is left cannot be told: left failed",)


def test_looking_executes_nothing_and_a_resume_no_other_run(world: World) -> None:
    for _ in range(2):
        world.order("two", "die")
        assert world.run("run", "toy-three", world.asked(), *world.options("--yes")).returncode == KILLED
    before = world.trace
    newest, oldest = world.journal.entries()
    assert world.journal.get(oldest.id) == oldest
    assert world.execution(toys.THREE).plan()
    assert world.execution(toys.READS).begin().state is State.DONE
    assert world.trace == [*before, "three"]
    assert world.execution(toys.THREE).resume(newest).state is State.DONE
    assert world.trace == [*before, "three", "two", "three", "left"]
    assert world.journal.get(oldest.id) == oldest


def test_two_runs_in_one_journal_at_once_do_not_disturb_each_other(world: World) -> None:
    world.order("three", "hold")
    command = ("run", "toy-reads", world.asked(), *world.options("--json"))
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(world.run, *command) for _ in range(2)]
        wait_until(lambda: world.trace == ["three", "three"])
        assert [entry.runs for entry in world.journal.entries()] == [True, True]
        (world.folder / "three").unlink()
        for one in both:
            assert one.result().returncode == 0, one.result().stderr
    assert [entry.runs for entry in world.journal.entries()] == [False, False]
    assert world.trace == ["three", "three"]


def test_a_run_that_a_process_works_on_is_not_resumed_and_its_instance_not_changed_by_another(world: World) -> None:
    world.order("two", "hold")
    working = world.start("run", "toy-three", world.asked(), *world.options("--yes"))
    try:
        wait_until(lambda: world.trace == ["one", "two"])
        (entry,) = world.journal.entries()
        assert entry.runs
        with pytest.raises(RefusedError, match=f"another process works on run {entry.id}"):
            world.resume(toys.THREE)
        refused = world.execution(toys.THREE).begin()
        assert refused.state is State.REFUSED
        assert f"run {entry.id} works on instance main" in refused.message
        elsewhere = World(world.folder / "elsewhere")
        elsewhere.folder.mkdir()
        assert elsewhere.execution(toys.THREE).begin().state is State.REFUSED
        assert not elsewhere.trace
        # What only reads, and what changes another instance, goes on.
        assert elsewhere.execution(toys.READS).begin().state is State.DONE
        assert elsewhere.execution(toys.THREE, instance="another").begin().state is State.DONE
        assert world.trace == ["one", "two"]
    finally:
        (world.folder / "two").unlink()
        working.communicate(timeout=60)
    assert working.returncode == 0


def test_a_run_of_other_steps_is_refused_at_once(world: World) -> None:
    world.order("two", "fail X")
    world.execution(toys.THREE).begin()
    changed = toys.Procedure(
        name="toy-three", title="Three", when="", inputs=toys.Asked, steps=(toys.THREE.steps[0], toys.THREE.steps[2])
    )
    with pytest.raises(RefusedError, match=r"another version of toy-three.*holdfast runbook history toy-three-"):
        world.resume(changed)
    assert world.trace == ["one", "two"]


def test_preconditions_refuse_before_anything_is_written_and_hold_at_a_resume(world: World) -> None:
    world.order("forbidden", "")
    refused = world.execution(toys.THREE).begin()
    assert (refused.state, world.trace, world.journal.entries()) == (State.REFUSED, [], [])
    assert refused.message == "Nobody forbids it: no, somebody does; ask them"
    (world.folder / "forbidden").unlink()
    world.order("forbidden-later", "")
    world.order("two", "fail X")
    assert world.execution(toys.THREE).begin().state is State.FAILED
    assert world.resume(toys.THREE).state is State.REFUSED
    assert world.trace == ["one", "two"]
    (world.folder / "forbidden-later").unlink()
    assert world.resume(toys.THREE).state is State.DONE


def test_a_precondition_that_cannot_be_told_refuses(world: World) -> None:
    def broken(_: object) -> None:
        """All is well."""
        raise KeyError(toys.CODE)

    procedure = toys.Procedure(
        name="t", title="T", when="", inputs=toys.Asked, steps=toys.READS.steps, preconditions=(broken,)
    )
    refused = world.execution(procedure).begin()
    assert refused.state is State.REFUSED
    assert refused.message.startswith("All is well: that cannot be told: a defect of the procedure: KeyError")


def test_a_journal_that_an_older_dbos_wrote_is_brought_up_to_date_and_resumed(world: World) -> None:
    world.journal.make()
    older = next(script for script in sqlite_migrations if script.strip())
    with sqlite3.connect(world.folder / "state" / "runs.sqlite") as connection:
        connection.executescript(older)
        connection.execute("CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY)")
        connection.execute("INSERT INTO dbos_migrations VALUES (1)")
    connection.close()
    assert world.journal.entries() == []
    assert world.execution(toys.THREE).begin().state is State.DONE


@pytest.mark.parametrize("text", ["this is no database " * 100, "SQLite format 3\0" + "x" * 4096])
def test_a_journal_that_cannot_be_read_is_said_in_a_line(world: World, text: str) -> None:
    world.journal.make()
    (world.folder / "state" / "runs.sqlite").write_text(text)
    with pytest.raises(RunbookError, match=r"^the journal /.*runs.sqlite: ") as refused:
        world.journal.entries()
    assert "\n" not in str(refused.value)
    with pytest.raises(RunbookError, match=r"^the journal /.*runs.sqlite: "):
        world.execution(toys.THREE).begin()
    assert not world.trace


def test_a_journal_that_cannot_be_written_is_said_before_anything_is_done(world: World) -> None:
    (world.folder / "state").write_text("in the way")
    with pytest.raises(HoldfastError, match="is in the way: it is not a folder"):
        world.execution(toys.THREE).begin()
    assert Journal(world.folder / "nowhere").entries() == []
    assert not (world.folder / "nowhere").exists()
    assert not world.trace


def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(world: World) -> None:
    world.order("two", "grow")
    full = world.run("run", "toy-three", world.asked(), *world.options("--yes"), file_blocks=1_000)
    assert full.returncode == 1, full
    assert full.stderr.splitlines()[-1].startswith("holdfast: the journal /"), full.stderr
    assert "Traceback" not in full.stderr
    assert world.trace == ["one", "two"]
    assert world.resume(toys.THREE).state is State.DONE
    assert world.trace == ["one", "two", "two", "three", "left"]
