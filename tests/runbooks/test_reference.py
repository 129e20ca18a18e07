"""The references: they are what the code says, and what they say is so."""

import ast
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from runbooks.reference import commands
from runbooks.reference.api_page import api_page
from runbooks.reference.document import openapi_document, operations
from runbooks.reference.errors import DocumentationError
from runbooks.reference.files import API, OPENAPI, ROOT, SCHEMA, api_files, refuse_stale, write
from runbooks.reference.markdown import anchor
from runtime.db.metadata import metadata
from tests.conftest import TestDatabase
from tests.runtime.api.contract import faults
from tests.runtime.api.example_rows import SUBJECT, put_back
from tests.runtime.api.serving import serving
from tests.runtime.observability.clouds import PROJECT, monitoring

PAGE = (ROOT / API).read_text()
SECTIONS = {section.partition("\n")[0]: section for section in PAGE.split("\n### ")[1:]}
JOBS = "/api/v1/monitoring/backfill"
# What an example needs beside the rows that it shows.
BEFORE = {
    f"POST {JOBS}/claim": "UPDATE backfill_jobs SET lease_owner = NULL, lease_expires_at = NULL",
    f"POST {JOBS}/progress": "UPDATE backfill_jobs SET lease_expires_at = now() + interval '1 hour'",
    f"POST {JOBS}/{{job_id}}/resume": (
        "UPDATE backfill_jobs SET status = 'paused', lease_owner = NULL, lease_expires_at = NULL"
    ),
}


def one(pattern: str, section: str) -> str:
    (found,) = re.findall(pattern, section, re.DOTALL)
    return str(found)


def code(language: str, section: str) -> str:
    return one(rf"```{language}\n(.*?)\n```", section)


def test_the_files_are_what_the_code_and_the_migrations_say() -> None:
    app = typer.Typer()
    commands.register(app)
    checked = CliRunner().invoke(app, ["--check"])
    assert checked.exception is None, f"{checked.exception}"


def test_a_stale_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    files = api_files()
    (tmp_path / "runtime").mkdir()
    with pytest.raises(DocumentationError, match=r"^runtime/openapi.json, runtime/API.md: .*make docs"):
        refuse_stale(files, tmp_path)
    assert write(files, tmp_path) == [str(OPENAPI), str(API)]
    refuse_stale(files, tmp_path)
    (tmp_path / API).write_text(files[API].replace("Needs `ard:read`", "Needs nothing"))
    with pytest.raises(DocumentationError, match=r"^runtime/API.md: .*make docs"):
        refuse_stale(files, tmp_path)
    assert write(files, tmp_path) == [str(API)]


def test_a_value_that_must_be_sent_and_has_no_example_is_named() -> None:
    document = openapi_document()
    del document["components"]["schemas"]["Rate"]["properties"]["rating"]["examples"]
    with pytest.raises(DocumentationError, match=r"^POST /api/v1/feedback/rate\.rating has no example"):
        api_page(document)


@pytest.mark.parametrize("page", [API, SCHEMA])
def test_every_link_of_a_page_leads_to_a_place_of_its_own(page: Path) -> None:
    told = (ROOT / page).read_text()
    headings = [
        anchor(heading)
        for heading in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", told, flags=re.DOTALL), re.MULTILINE)
    ]
    links = re.findall(r"\]\(#([^)]+)\)", told)
    assert len(headings) == len(set(headings))
    assert set(links) <= set(headings)
    assert len(links) > 10


def test_the_pages_tell_every_operation_and_every_table() -> None:
    assert {operation.heading for operation in operations(openapi_document())} <= SECTIONS.keys()
    told = re.findall("^### (.*)$", (ROOT / SCHEMA).read_text(), re.MULTILINE)
    assert set(told) == {*metadata.tables, "alembic_version"}


@pytest.fixture
def superuser(database: TestDatabase) -> Iterator[Engine]:
    engine = database.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def url(database: TestDatabase, tmp_path: Path) -> Iterator[str]:
    """An API with a Cloud Monitoring to publish to."""
    with (
        monitoring(tmp_path) as cloud,
        serving(database, google_cloud_project=PROJECT, cloud_monitoring_endpoint=cloud.endpoint) as served,
    ):
        yield served


def test_every_example_prints_what_the_page_shows(
    url: str,
    superuser: Engine,
    make_key: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    document = openapi_document()
    monkeypatch.setenv("API", url)
    monkeypatch.setenv("KEY", make_key(subject=SUBJECT))
    names: dict[str, Any] = {}
    try:
        exec(code("python", PAGE.partition("\n## Authentication")[0]), names)  # noqa: S102  # as the reader does
        for operation in operations(document):
            with subtests.test(operation.heading):
                with superuser.begin() as connection:
                    put_back(connection)
                    connection.execute(text(BEFORE.get(operation.heading, "SELECT")))
                section = SECTIONS[operation.heading]
                said = io.StringIO()
                with redirect_stdout(said):
                    exec(code("python", section), names)  # noqa: S102  # so does the page's reader
                status, _, printed = said.getvalue().partition(" ")
                assert status == one(r"\nAnswers `(\d+)`", section), said.getvalue()
                answer = operation.success
                if not answer.media_type.endswith("json"):
                    continue
                found, shown = ast.literal_eval(printed), json.loads(code("json", section))
                assert faults(found, answer.content["schema"], document) == []
                assert alike(found, shown), f"{found}\n{shown}"
                if operation.method == "get" and "{" in operation.path:
                    assert found == shown
    finally:
        names["api"].close()


def alike(found: Any, shown: Any) -> bool:
    """Whether two answers have the same names, in the first rows of their lists too; null may be anything."""
    if isinstance(found, dict) and isinstance(shown, dict):
        return found.keys() == shown.keys() and all(
            alike(found[name], shown[name]) for name in shown if isinstance(shown[name], list)
        )
    if isinstance(found, list) and isinstance(shown, list) and shown:
        return bool(found) and alike(found[0], shown[0])
    return True
