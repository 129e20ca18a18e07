"""An environment at rest a worker, and a fresh sandbox with a copy of it a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.rehearsal import stage as stages
from runbooks.rehearsal.environment import Environment
from runbooks.rehearsal.stage import Stage


@pytest.fixture(scope="session")
def base() -> Iterator[tuple[Path, Environment]]:
    """This worker's environment at rest: a state folder, which is only copied, and what is in it."""
    with stages.base() as made:
        yield made


@pytest.fixture
def stage(base: tuple[Path, Environment], tmp_path: Path) -> Iterator[Stage]:
    """A sandbox with a copy of it. Its folder is the test's own, for the journal too."""
    with stages.stage(tmp_path, *base) as made:
        yield made
