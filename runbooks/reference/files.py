"""The files that are made from the code, and whether they still are what the code says."""

import json
from pathlib import Path

from runbooks.console.pages import page_files
from runbooks.engine import target
from runbooks.reference.api_page import api_page
from runbooks.reference.database import migrated_database
from runbooks.reference.document import openapi_document
from runbooks.reference.errors import DocumentationError
from runbooks.reference.schema_page import schema_page

ROOT = Path(__file__).parents[2]
OPENAPI, API, SCHEMA = (Path(name) for name in ("runtime/openapi.json", "runtime/API.md", "migrations/SCHEMA.md"))
TARGET = Path("runbooks/target.schema.json")


def api_files() -> dict[Path, str]:
    """The files that the application makes, by their place in the checkout."""
    document = openapi_document()
    return {OPENAPI: json.dumps(document, indent=2, ensure_ascii=False) + "\n", API: api_page(document)}


def target_file() -> dict[Path, str]:
    """The form of the target."""
    return {TARGET: target.schema()}


def all_files() -> dict[Path, str]:
    """The files that the application, a migrated database and the procedures make."""
    with migrated_database() as connection:
        return {**api_files(), **target_file(), **page_files(), SCHEMA: schema_page(connection)}


def stale(files: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Those that are not in the checkout as they are made."""
    return [
        str(name)
        for name, text in files.items()
        if not (root / name).exists() or (root / name).read_text(encoding="utf-8") != text
    ]


def write(files: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Write those that are stale.

    Returns:
        Their names.
    """
    changed = stale(files, root)
    for name in changed:
        (root / name).write_text(files[Path(name)], encoding="utf-8")
    return changed


def refuse_stale(files: dict[Path, str], root: Path = ROOT) -> None:
    """See that all are as they are made.

    Raises:
        DocumentationError: naming those that are not, and the command that makes them.
    """
    if names := stale(files, root):
        message = f"{', '.join(names)}: not what the code says any more; make docs"
        raise DocumentationError(message)
