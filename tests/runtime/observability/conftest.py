"""A Cloud Monitoring a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.observability.clouds import Monitoring, monitoring


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Monitoring]:
    with monitoring(tmp_path) as made:
        yield made
