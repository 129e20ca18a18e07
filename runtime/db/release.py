"""The revision that this release's code is written for."""

import functools
from importlib.util import find_spec
from pathlib import Path

from runtime.errors import PreflightError


def migrations_folder() -> Path:
    """Where the migrations are installed.

    Raises:
        PreflightError: nowhere.
    """
    spec = find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        message = "the package `migrations` is not installed beside `runtime`"
        raise PreflightError(message)
    return Path(spec.submodule_search_locations[0])


@functools.cache
def schema_revision() -> str:
    """The newest revision, by the number that its file's name begins with: Alembic would cost each worker 10 MB."""
    return max(path.name.partition("_")[0] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))
