"""What the sandbox keeps, in a folder of the module's; a server takes half a second to end."""

from collections.abc import Iterator

import pytest

from runbooks.sandbox.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(tmp_path_factory.mktemp("store") / "store.db")
    yield opened
    opened.close()
