"""What `migrate` looks at first: each thing that does not fit is refused with its own line, and nothing is changed."""

import shutil
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from runbooks.local.ports import HOST, free_port
from runtime.db import locks
from runtime.db.migrate import migrate
from runtime.errors import PreflightError
from tests.conftest import PASSWORD, TestDatabase, as_secret, autocommit, settings_of
from tests.migrations.snapshot import snapshot
from tests.running import ROOT, environment_of, run


def execute(database: TestDatabase, *statements: str) -> None:
    with autocommit(database.url()) as connection:
        for statement in statements:
            connection.execute(text(statement))


LATER = "idempotency_keys, recovery_markers, backup_verifications"
# What a person left behind, and what is said about it.
BROKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "a revision of a newer release": (
        ("UPDATE alembic_version SET version_num = '9999'",),
        r"the database is at revision '9999', which these migrations do not have \(their head is '\d{4}'\); deploy",
    ),
    "two revisions": (
        ("INSERT INTO alembic_version VALUES ('0001')",),
        r"alembic_version has 2 rows \(.*0001.*\); it may have one",
    ),
    "a table of a migration that is still to run": (
        (
            "UPDATE alembic_version SET version_num = '0002'",
            f"DROP TABLE system_metrics, insight_feedback, cache_trust, {LATER}",
        ),
        "the database is at revision '0002', yet has the tables of a later one: backfill_jobs; .* drop them",
    ),
    "tables without any revision": (
        ("DROP TABLE alembic_version",),
        "the database is at revision 'none', yet has the tables of a later one: ai_queries, api_keys, audit_log, ",
    ),
    "a table that is gone": (
        ("DROP TABLE ai_queries",),
        r"the database says that it is at revision '\d{4}', but lacks ai_queries; restore it from a backup",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_database_that_does_not_fit_is_refused_and_left_alone(case: str, database: TestDatabase) -> None:
    statements, line = BROKEN[case]
    execute(database, *statements)
    before = snapshot(database)
    with pytest.raises(PreflightError, match=line):
        migrate(database.settings())
    assert snapshot(database) == before


def test_a_left_over_table_can_be_dropped_as_the_line_says(database: TestDatabase) -> None:
    execute(
        database,
        "UPDATE alembic_version SET version_num = '0002'",
        f"DROP TABLE system_metrics, insight_feedback, backfill_jobs, cache_trust, {LATER}",
        "DROP FUNCTION ensure_metric_partitions",
        "DROP FUNCTION ensure_principal",
        "ALTER TABLE principals DROP CONSTRAINT uq_principals_subject",
    )
    assert migrate(database.settings()).before == "0002"


def test_tables_of_others_are_no_obstacle(database: TestDatabase) -> None:
    execute(database, "CREATE TABLE somebody_elses (id int)")
    done = migrate(database.settings())
    assert done.before == done.after


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": free_port()}, "Connection refused"),
        ({"username": "nobody"}, "password authentication failed"),
        ({"password": PASSWORD + "!"}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_a_server_that_does_not_let_us_in_is_named_without_the_password(
    change: dict[str, object], said: str, database: TestDatabase
) -> None:
    url = database.url().set(**change)
    with pytest.raises(PreflightError) as caught:
        migrate(settings_of(database_url=as_secret(url)))
    line = str(caught.value)
    assert line.startswith(f"cannot connect to {HOST}:{url.port} as {url.username}: ")
    assert said in line
    assert PASSWORD not in line
    assert "\n" not in line
    # Nor does the traceback of a program that does not catch it.
    assert caught.value.__suppress_context__


def test_a_host_that_has_no_address_is_named() -> None:
    settings = settings_of(db_host="no-such-host.invalid", db_user="u", db_password=SecretStr(PASSWORD))
    with pytest.raises(PreflightError, match=r"cannot connect to no-such-host\.invalid:5432 as u: ") as caught:
        migrate(settings)
    assert PASSWORD not in str(caught.value)


def test_a_migration_that_another_one_keeps_waiting_says_so(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_FOR_ANOTHER", "50ms")
    engine = database.engine()
    before = snapshot(database)
    with engine.connect() as other, locks.alone(other), pytest.raises(PreflightError, match="another migration"):
        migrate(database.settings())
    engine.dispose()
    assert snapshot(database) == before
    assert migrate(database.settings())


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """Our migrations in a folder where `python -m runtime` finds them first; returns that of the versions."""
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "migrations/versions"


def refused(versions: Path, database: TestDatabase) -> str:
    before = snapshot(database)
    # Warnings as an operator has them: Alembic only warns of some of this.
    command = (sys.executable, "-m", "runtime", "migrate")
    done = run(*command, cwd=versions.parents[1], environment=environment_of(database))
    assert (done.returncode, done.stdout) == (1, "")
    assert snapshot(database) == before
    return done.stderr


def replace(script: Path, old: str, new: str) -> None:
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, new, 1))


NO_CHAIN = "holdfast: the migrations are no chain: "


def test_a_broken_chain_is_refused(versions: Path, database: TestDatabase) -> None:
    replace(versions / "0003_utxoiq.py", 'down_revision = "0002"', 'down_revision = "0099"')
    line = refused(versions, database)
    assert line.startswith(f"{NO_CHAIN}Revision 0099 referenced from ")
    assert line.count("\n") == 1


def test_a_circle_is_refused(versions: Path, database: TestDatabase) -> None:
    replace(versions / "0001_platform.py", "down_revision = None", 'down_revision = "0003"')
    assert refused(versions, database).startswith(f"{NO_CHAIN}Cycle is detected in revisions ")


def test_a_number_that_two_migrations_have_is_refused(versions: Path, database: TestDatabase) -> None:
    shutil.copy(versions / "0003_utxoiq.py", versions / "0003_again.py")
    assert refused(versions, database).startswith(f"{NO_CHAIN}Revision 0003 is present more than once")


def test_two_heads_are_refused(versions: Path, database: TestDatabase) -> None:
    last = max(versions.glob("0*.py"))
    head, other = last.name[:4], f"{int(last.name[:4]) + 1:04}"
    script = last.read_text().replace(f'\nrevision = "{head}"', f'\nrevision = "{other}"')
    (versions / f"{other}_other.py").write_text(script)
    assert refused(versions, database) == (
        f"holdfast: the migrations end in 2 heads ({head}, {other}); merge them into one chain\n"
    )
