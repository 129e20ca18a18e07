from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runbooks.sandbox.engine.clusters import Clusters, clusters_in


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    with clusters_in(tmp_path) as made:
        yield made
