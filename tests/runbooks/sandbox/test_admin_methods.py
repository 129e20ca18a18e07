"""What the sandbox says it does is what it does, by Google's own description."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbooks.sandbox import sql, table
from runbooks.sandbox.discovery import Discovery
from runbooks.sandbox.sql.handlers import HANDLERS
from runbooks.sandbox.sql.methods import METHODS, PARTIAL, WITHOUT_OPERATION
from runbooks.sandbox.sql.web import VERSIONS
from tests.runbooks.sandbox.admin import HEADERS, Admin, reason, sandbox


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("methods") / "state") as admin:
        yield admin


@pytest.mark.parametrize("prefix", VERSIONS)
def test_every_method_of_googles_document_is_there_at_its_path_and_no_other(prefix: str) -> None:
    described = Discovery.installed(f"sqladmin.{VERSIONS[prefix]}")
    assert described
    google = {
        (name.lower(), one["httpMethod"], "/" + unnamed(one["flatPath"])) for name, one in described.methods.items()
    }
    assert {(f"sql.{one.name}".lower(), one.verb, prefix + unnamed(one.path)) for one in METHODS} == google


def test_which_methods_begin_an_operation_is_as_google_says() -> None:
    described = Discovery.installed("sqladmin.v1")
    assert described
    with_operation = {"Operation", "SslCertsInsertResponse"}
    changing = [one for one in METHODS if one.verb != "GET"]
    at_once = [
        one for one in changing if described.methods[f"sql.{one.name}"]["response"]["$ref"] not in with_operation
    ]
    assert {one.name for one in at_once} == WITHOUT_OPERATION
    assert not [one for one in at_once if one.begins_operation]


def test_what_answers_is_a_method() -> None:
    assert set(HANDLERS) <= {one.name for one in METHODS}
    assert set(PARTIAL) <= set(HANDLERS)


def test_the_readme_says_what_the_code_does() -> None:
    text = table.README.read_text()
    assert text == table.renewed(text), "python -m runbooks.sandbox.table"


@pytest.mark.parametrize("prefix", VERSIONS)
def test_what_is_absent_says_so_by_name(admin: Admin, prefix: str) -> None:
    absent = [one for one in METHODS if one.name not in HANDLERS]
    assert absent
    for method in absent:
        path = unnamed(method.path).replace("{}", "x")
        answer = admin.http.request(method.verb, f"{admin.url}{prefix}{path}")
        assert reason(answer) == (501, "notImplemented"), method
        assert method.name in answer.json()["error"]["message"]


def test_without_a_bearer_token_nothing_is_answered(admin: Admin) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = admin.control.get(f"{admin.url}/v1/projects/p-1/instances", headers=headers)
        assert reason(answer) == (401, "required")


def test_what_is_not_in_googles_document_is_refused_by_name(admin: Admin) -> None:
    def post(body: object, query: str = "") -> str:
        answer = admin.http.post(f"instances{query}", json=body)
        assert reason(answer)[0] == 400
        return answer.json()["error"]["message"]

    assert 'Unknown name "nmae"' in post({"nmae": "x"})
    assert "Unknown name \"tire\" at 'settings'" in post({"settings": {"tire": "x"}})
    assert "'settings.availabilityType'" in post({"settings": {"availabilityType": "BOTH"}})
    assert "'settings.deletionProtectionEnabled'" in post({"settings": {"deletionProtectionEnabled": "yes"}})
    assert "'settings.databaseFlags[0].value'" in post({"settings": {"databaseFlags": [{"value": 1}]}})
    assert 'Unknown name "dry"' in post({"name": "x"}, "?dry=1")
    assert "Parse Error" in post([])
    assert admin.http.get("instances").json() == {"kind": "sql#instancesList", "items": []}


def test_an_answer_in_another_shape_would_be_seen() -> None:
    described = Discovery.installed("sqladmin.v1")
    assert described
    right = {"name": "x", "createTime": "2026-01-02T03:04:05.678Z", "settings": {"settingsVersion": "1"}}
    assert described.answer_faults("sql.instances.get", right) == []
    for wrong in (
        {"nmae": "x"},
        {"settings": {"settingsVersion": 1}},
        {"settings": {"settingsVersion": "one"}},
        {"createTime": "yesterday"},
        {"state": "GOOD"},
        {"settings": None},
        [],
    ):
        assert described.answer_faults("sql.instances.get", wrong), wrong
    # In a request, as Google reads it: more than it writes itself.
    lenient = {"settings": {"settingsVersion": 1, "tier": None}}
    assert described.request_faults("sql.instances.patch", {}, lenient) == []


def unnamed(path: str) -> str:
    """A path whose parameters have no names, to compare."""
    return re.sub(r"\{\w+\}", "{}", path)


def test_it_never_names_a_real_address(admin: Admin) -> None:
    listed = admin.http.get("instances", headers=HEADERS)
    assert "googleapis" not in listed.text
    rooms = Path(sql.__file__).parent
    assert not [path for path in rooms.glob("*.py") if "googleapis.com" in path.read_text()]
