"""Recovery markers: one a minute by the jobs' login, none for ever."""

import pytest
from sqlalchemy import text

from tests.conftest import TestDatabase, autocommit
from tests.running import call, environment_of


def test_a_marker_is_written_and_old_ones_are_forgotten(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with autocommit(database.url()) as connection:
        for age in ("40 days 1 minute", "41 days", "39 days 23 hours"):
            connection.execute(text(f"INSERT INTO recovery_markers (written_at) VALUES (now() - interval '{age}')"))
        done = call(monkeypatch, capsys, "recovery-marker", environment=environment_of(database))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(" written, 2 old ones deleted\n")
        ages = connection.scalars(
            text("SELECT extract(days FROM now() - written_at)\\:\\:int FROM recovery_markers ORDER BY written_at")
        ).all()
    assert ages == [39, 0]
