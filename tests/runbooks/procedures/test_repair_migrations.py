"""repair-migrations: source 003's failures on a real database, each mended without losing a row, or refused."""

import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import URL

from runbooks.engine import report
from runbooks.engine.findings import Result
from runbooks.engine.records import Ended, State
from runbooks.procedures.repair_migrations import PROCEDURE, Asked
from runbooks.procedures.schema import chain, structure
from runbooks.procedures.schema.judgement import Judgement, judge
from runbooks.procedures.schema.structure import Part
from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.scenarios.repair_migrations import is_valid, leave_invalid
from runbooks.rehearsal.stage import Stage
from runtime.db import release, revisions
from runtime.db.engine import engine_at
from tests.runbooks.procedures.runs import Runs
from tests.running import ROOT
from tests.waiting import wait_until

HEAD = revisions.head()
NEXT = f"{int(HEAD) + 1:04}"
# Of revision 0005, as another attempt had it.
ORPHAN = 'CREATE TABLE idempotency_keys (key text PRIMARY KEY, "a ünusual % name" int)'
FITS = "The tables are those of a revision"
AT_HEAD = "The database is at the head"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def whole(base: tuple[Path, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One sandbox for all; each test has a database of its own on it."""
    with stages.stage(tmp_path_factory.mktemp("repair"), *base) as made:
        yield made


@pytest.fixture
def runs(whole: Stage, tmp_path: Path) -> Runs:
    name = f"case_{next(_numbers)}"
    whole.tools.query(f"CREATE DATABASE {name} TEMPLATE {whole.target.database}", database="postgres")
    target = whole.target.model_copy(update={"database": name})
    environment = Environment(target, whole.environment.settings)
    return Runs(PROCEDURE, replace(whole, environment=environment, folder=tmp_path))


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Our migrations in a folder that is found first, to be changed; that of the versions."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "migrations", raising=False)
    forget()
    assert release.migrations_folder() == folder / "migrations"
    yield folder / "migrations" / "versions"
    forget()


def forget() -> None:
    """A process reads the migrations once."""
    revisions.head.cache_clear()
    release.schema_revision.cache_clear()


def query(runs: Runs, statement: str) -> list[tuple[Any, ...]]:
    return runs.stage.tools.query(statement, database=runs.stage.target.database)


def seen(runs: Runs) -> tuple[object, ...]:
    """All that a repair could change, and that nothing of it is left over on the server."""
    with runs.stage.tools.connect(database=runs.stage.target.database) as opened:
        databases = query(runs, "SELECT datname FROM pg_database WHERE datname LIKE '%scratch%'")
        told, parts = structure.revisions_told(opened), structure.read(opened)
        return told, parts, structure.invalid(opened), structure.row_counts(opened), databases


def rows(runs: Runs) -> dict[str, int]:
    with runs.stage.tools.connect(database=runs.stage.target.database) as opened:
        return structure.row_counts(opened)


def kept_all(runs: Runs, before: dict[str, int]) -> bool:
    """Each table has as many rows as before; a migration writes one line into the audit log."""
    now = rows(runs)
    return {table: now[table] for table in before} == before | {"audit_log": before["audit_log"] + 1}


def mended(ended: Ended) -> list[str]:
    return [one.test for one in report.findings_of(ended) if one.result is Result.MENDED]


def whole_again(runs: Runs, ended: Ended, *tests: str) -> None:
    """It is done, mended just that, and is at the head."""
    assert ended.state is State.DONE, report.page(ended)
    assert not report.open_findings(ended), report.page(ended)
    assert mended(ended) == list(tests)
    told, _, invalid, _, scratch = seen(runs)
    assert (told, invalid, scratch) == ((revisions.head(),), [], [])


def refused(runs: Runs, fault: str, action: str, asked: Asked | None = None) -> None:
    """It is refused with these words, and nothing was changed."""
    before = seen(runs)
    ended = runs.begin(asked or Asked())
    assert ended.state is State.REFUSED, report.page(ended)
    last = report.open_findings(ended)[-1]
    assert re.search(fault, last.found), last
    assert re.search(action, last.action), last
    assert seen(runs) == before


def half_way(runs: Runs) -> None:
    """A table is left of a migration that failed, and an index that building was cut off of."""
    tools, database = runs.stage.tools, runs.stage.target.database
    place = tools.place(tools.admin.instances.get(runs.stage.target.instance))
    operator = runs.stage.target.operator
    password = tools.secrets.newest(operator.secret).get_secret_value()
    url = URL.create("postgresql", operator.user, password, place["host"], place["port"], database)
    with engine_at(url, application_name="test").connect() as connection:
        config = revisions.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    query(runs, ORPHAN)
    leave_invalid(runs.stage, "idx_feedback_user", runs.stage.target.database)


def test_what_a_deployment_left_half_way_is_planned_without_a_change_and_mended(runs: Runs) -> None:
    half_way(runs)
    before = seen(runs)
    plan = {step.name: change.before for step, change in runs.execution(Asked()).plan()}
    assert "idempotency_keys (0 rows)" in plan["drop"]
    assert plan["indexes"] == "invalid: idx_feedback_user"
    assert seen(runs) == before
    kept = rows(runs)

    ended = runs.begin(Asked())

    whole_again(runs, ended, "Table idempotency_keys is of the revision", "Index idx_feedback_user is valid", AT_HEAD)
    assert kept_all(runs, kept)
    assert kept["experiments"] == 500


def test_a_healthy_database_is_left_as_it_is_with_all_that_is_somebody_elses(runs: Runs) -> None:
    query(runs, 'CREATE TABLE "Somebody\'s notes" (n int); INSERT INTO "Somebody\'s notes" VALUES (1)')
    query(runs, "CREATE INDEX somebodys ON experiments (name)")
    before = seen(runs)
    whole_again(runs, runs.begin(Asked()))
    assert seen(runs) == before


def test_a_revision_that_the_tables_have_exactly_is_told_even_after_a_call_failed(runs: Runs) -> None:
    query(runs, "UPDATE alembic_version SET version_num = '0003'")
    before = rows(runs)
    runs.stage.fault("secretmanager.secrets.versions.access:403x1")
    failed = runs.begin(Asked())
    assert (failed.records[-1].step, failed.records[-1].code) == ("examine", "SECRET_UNREADABLE")
    whole_again(runs, runs.resume(), FITS)
    assert rows(runs) == before


def test_a_table_that_holds_rows_is_kept_and_said_what_to_do_with(runs: Runs) -> None:
    half_way(runs)
    query(runs, "INSERT INTO idempotency_keys VALUES ('a'), ('b')")
    refused(runs, "^2 rows$", "CREATE TABLE kept.idempotency_keys AS TABLE public.idempotency_keys; DELETE FROM")


def test_what_fits_no_revision_is_refused_with_the_differences(runs: Runs) -> None:
    query(runs, "ALTER TABLE insight_feedback ALTER COLUMN rating TYPE bigint; DROP TABLE cache_trust")
    refused(runs, "missing: table cache_trust.*another: column insight_feedback.rating is 'bigint", "restored backup")


def test_a_migration_that_committed_half_of_itself_is_done_whole(runs: Runs, versions: Path) -> None:
    (versions / f"{NEXT}_half.py").write_text(
        f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY idx_half ON experiments (created_by)")
        op.execute("ALTER TABLE experiments ADD COLUMN half integer")
    op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))
"""
    )
    forget()
    query(runs, "CREATE INDEX idx_half ON experiments (created_by)")
    leave_invalid(runs.stage, "idx_half", runs.stage.target.database)
    query(runs, "ALTER TABLE experiments ADD COLUMN half integer")
    query(runs, "UPDATE experiments SET half = 1 WHERE id < 'exp-000003'")
    refused(runs, "^2 values$", "set half to NULL")
    query(runs, "UPDATE experiments SET half = NULL")
    before = rows(runs)
    whole_again(runs, runs.begin(Asked()), "No part of a later revision is there", AT_HEAD)
    assert kept_all(runs, before)
    assert is_valid(runs.stage, "idx_half", runs.stage.target.database)


def test_killed_while_an_index_is_built_again_it_goes_on_from_there(runs: Runs) -> None:
    stage, database = runs.stage, runs.stage.target.database
    half_way(runs)
    before = rows(runs)
    waiting = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONC%' AND state = 'active'"
    with stage.tools.connect(database=database) as opened, opened.cursor() as cursor:
        # It is in the way.
        cursor.execute("BEGIN; LOCK TABLE insight_feedback IN ROW EXCLUSIVE MODE")
        runs.kill(when=lambda: query(runs, waiting))
        query(runs, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS found")
        wait_until(lambda: not query(runs, waiting))
    assert [step["step"] for step in runs.newest.steps] == ["examine", "drop", "stamp"]
    # As if it had come that far: what makes the index is only known from the journal.
    query(runs, "DROP INDEX idx_feedback_user")
    ended = runs.resume()
    whole_again(runs, ended, "Table idempotency_keys is of the revision", "Index idx_feedback_user is valid", AT_HEAD)
    assert kept_all(runs, before)
    assert is_valid(stage, "idx_feedback_user", database)


def test_migrations_that_are_no_chain_are_refused_before_anything(runs: Runs, versions: Path) -> None:
    write(versions, "0003_utxoiq.py", 'down_revision = "0002"', 'down_revision = "002_ard"')
    forget()
    ended = runs.begin(Asked())
    assert (ended.state, ended.records) == (State.REFUSED, ())
    assert 'versions/0003_utxoiq.py:8: write down_revision = "0002", and deploy that' in ended.message


@pytest.mark.parametrize(
    ("change", "place", "found", "mend"),
    [
        (
            ("0004_cache_trust.py", 'down_revision = "0003"', 'down_revision = "0002"'),
            r"versions/\d{4}_.*\.py:\d+",
            f"'{HEAD}' and '0003' are both the last",
            'write down_revision = "0003"',
        ),
        (
            ("0001_platform.py", "down_revision = None", 'down_revision = "0003"'),
            "versions/0001_platform.py:8",
            "'0001' comes after itself",
            "the first revision has down_revision = None",
        ),
        (
            ("0005_idempotency_keys.py", 'revision = "0005"', 'revision = "0004"'),
            r"versions/0005_idempotency_keys.py:\d+",
            "revision '0004' is 0004_cache_trust.py's too",
            "an id of its own",
        ),
        (
            ("0002_ard.py", "def upgrade()", "def upgrade"),
            r"versions/0002_ard.py:\d+",
            "invalid syntax|expected",
            "correct it",
        ),
    ],
    ids=["two heads", "a circle", "an id twice", "no Python"],
)
def test_the_line_that_breaks_the_chain_is_named(
    change: tuple[str, str, str], place: str, found: str, mend: str, versions: Path
) -> None:
    write(versions, *change)
    wrong = chain.wrong(versions.parent)
    assert any(
        re.fullmatch(place, one.place) and re.search(found, one.found) and mend in one.change for one in wrong
    ), wrong


def write(versions: Path, name: str, old: str, new: str) -> None:
    text = (versions / name).read_text()
    assert old in text
    (versions / name).write_text(text.replace(old, new, 1))


# --- What is judged, without a database ------------------------------------------------------------------------------

A, B, C = Part("table", "a", "a"), Part("table", "b", "b"), Part("column", "a", "c")
MADE = {"1": {A: "r"}, "2": {A: "r", B: "r"}, "3": {A: "r", B: "r", C: "int"}}


def test_revisions_that_look_alike_are_chosen_by_somebody() -> None:
    alike = {**MADE, "4": MADE["3"]}
    assert judge(("renamed",), MADE["3"], alike) == Judgement(("renamed",), fitting=("3", "4"))
    # Only among those that fit.
    assert judge(("renamed",), MADE["3"], alike, "2") == Judgement(("renamed",), fitting=("3", "4"))
    assert judge(("renamed",), MADE["3"], alike, "4") == Judgement(("renamed",), "4", stamp=True)


@pytest.mark.parametrize(
    ("told", "actual", "judgement"),
    [
        (("2",), MADE["2"], Judgement(("2",), "2")),
        ((), {}, Judgement((), None)),
        ((), MADE["3"], Judgement((), "3", stamp=True)),
        (("1",), MADE["3"], Judgement(("1",), "3", stamp=True)),
        (("1", "2"), MADE["2"], Judgement(("1", "2"), "2", stamp=True)),
        (("002_b",), MADE["2"], Judgement(("002_b",), "2", stamp=True)),
        # Never back, since that would hide a loss.
        (("3",), MADE["1"], Judgement(("3",), "3", differences=("missing: column a.c", "missing: table b"))),
        (("1",), {A: "r", C: "int"}, Judgement(("1",), "1", leftovers=(C,))),
        (("1",), {A: "r", B: "another"}, Judgement(("1",), "1", leftovers=(B,))),
        (("9",), {A: "r", C: "int"}, Judgement(("9",), differences=("of 1, the nearest: too much: column a.c",))),
    ],
)
def test_only_what_is_certain_is_mended(
    told: tuple[str, ...], actual: structure.Structure, judgement: Judgement
) -> None:
    assert judge(told, actual, MADE) == judgement
    others = {Part("index", "a", "somebodys"): "x"}
    assert judge(told, {**actual, **others}, MADE) == replace(judgement, others=tuple(others))
