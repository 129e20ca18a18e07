"""Who may call what: without a working key nothing, with one what its scopes say, and no longer than it works."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable

import httpx
import pytest

from runtime.platform import tokens
from runtime.platform.keys import revoke_key
from runtime.platform.scopes import ALL_SCOPES, Scope
from tests.conftest import SUBJECT, TestDatabase
from tests.runtime.api.contract import OPEN, application_of, assert_problem, document_of, operations
from tests.runtime.api.snapshots import snapshot
from tests.runtime.api.world import EXPERIMENTS, FEEDBACK, INSIGHT, RUNS, make_world, start_job

MakeClient = Callable[..., httpx.AsyncClient]
MakeKey = Callable[..., str]
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def revoke(database: TestDatabase, key: str) -> None:
    engine = database.engine("jobs_login")
    with engine.begin() as connection:
        assert revoke_key(connection, key=key)
    engine.dispose()


@pytest.fixture
def useless_keys(database: TestDatabase, make_key: MakeKey) -> dict[str, str | None]:
    """Every kind of key that does not work."""
    working, revoked, expired = make_key(), make_key(), make_key(expires_at=PAST)
    revoke(database, revoked)
    # The prefix of a key that works and a right checksum, but not its secret.
    unknown, prefix = tokens.new_token().text, tokens.parse(working)
    assert prefix is not None
    forged = f"hf_{prefix.prefix}_{unknown[12:52]}"
    return {
        "none": None,
        "empty": "",
        "malformed": "' OR 1=1; --",
        "mistyped": working[:-1] + ("0" if working[-1] != "0" else "1"),
        "cut short": working[:-8],
        "longer": working + "0",
        "in capitals": working.upper(),
        "very long": "hf_" + "a" * 8000,
        "unknown": unknown,
        "another secret": forged + tokens._checksum(forged),
        "revoked": revoked,
        "expired": expired,
    }


async def test_without_a_key_that_works_every_operation_refuses_and_changes_nothing(
    client: httpx.AsyncClient,
    make_client: MakeClient,
    database: TestDatabase,
    useless_keys: dict[str, str | None],
    subtests: pytest.Subtests,
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    before = snapshot(database)
    for name, key in useless_keys.items():
        stranger = make_client(key)
        with subtests.test(name):
            for method, path, _ in operations(document):
                if (method, path) not in OPEN:
                    answer = await calls[method, path].send(stranger, method, path)
                    body = assert_problem(answer, 401, "unauthenticated", document=document)
                    assert answer.headers["www-authenticate"].startswith("ApiKey ")
                    assert not key or key not in answer.text
                    assert ("send an API key" in body["detail"]) == (not key)
    assert snapshot(database) == before


async def test_with_a_key_of_the_wrong_scope_every_operation_refuses_and_changes_nothing(
    client: httpx.AsyncClient,
    make_client: MakeClient,
    make_key: MakeKey,
    database: TestDatabase,
    subtests: pytest.Subtests,
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    keys = {scope: make_client(make_key(*(set(ALL_SCOPES) - {scope}))) for scope in ALL_SCOPES}
    before = snapshot(database)
    for method, path, operation in operations(document):
        if (method, path) in OPEN:
            continue
        with subtests.test(f"{method} {path}"):
            (scope,) = operation["security"][0]["ApiKey"]
            answer = await calls[method, path].send(keys[scope], method, path)
            body = assert_problem(answer, 403, "forbidden", document=document)
            assert scope in body["detail"]
    assert snapshot(database) == before


async def test_a_key_with_only_the_scope_of_an_operation_is_enough(
    client: httpx.AsyncClient, make_client: MakeClient, make_key: MakeKey, subtests: pytest.Subtests
) -> None:
    document = document_of(client)
    calls = await make_world(client)
    keys = {scope: make_client(make_key(scope)) for scope in ALL_SCOPES}
    for method, path, operation in operations(document):
        if (method, path) not in OPEN:
            with subtests.test(f"{method} {path}"):
                (scope,) = operation["security"][0]["ApiKey"]
                call = calls[method, path]
                assert (await call.send(keys[scope], method, path)).status_code == call.status


async def test_a_refused_key_does_not_read_the_body(make_client: MakeClient) -> None:
    answer = await make_client().post(EXPERIMENTS, content=b"{not json", headers={"content-type": "application/json"})
    assert_problem(answer, 401, "unauthenticated")


async def test_what_is_open_needs_no_key(make_client: MakeClient) -> None:
    stranger = make_client("' nonsense")
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert (await stranger.get(path)).status_code == 200, path


async def test_a_key_that_is_revoked_stops_working_within_about_a_second(
    database: TestDatabase, make_client: MakeClient, make_key: MakeKey
) -> None:
    key = make_key()
    client = make_client(key)
    assert (await client.get(EXPERIMENTS)).status_code == 200
    revoke(database, key)
    revoked = time.monotonic()
    while (answer := await client.get(EXPERIMENTS)).status_code == 200:
        assert time.monotonic() - revoked < 10, "still working"
        await asyncio.sleep(0.05)
    assert_problem(answer, 401, "unauthenticated")
    assert time.monotonic() - revoked < 3


async def test_a_key_works_until_the_moment_that_it_expires(make_client: MakeClient, make_key: MakeKey) -> None:
    client = make_client(make_key(expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)))
    assert (await client.get(EXPERIMENTS)).status_code == 200


async def test_what_is_not_a_key_is_not_kept_in_memory(make_client: MakeClient) -> None:
    stranger = make_client()
    for length in range(50):
        await stranger.get(EXPERIMENTS, headers={"X-API-Key": "x" * (length + 1)})
    assert application_of(stranger).state.keys._known == {}


async def test_the_credentials_subject_is_the_user_of_what_is_written(client: httpx.AsyncClient) -> None:
    await make_world(client)
    for path, items in ((EXPERIMENTS, "experiments"), (RUNS, "runs"), ("/api/ai_queries", "queries")):
        (row,) = (await client.get(path)).json()[items]
        assert row["created_by"] == SUBJECT
    jobs = (await client.get("/api/v1/monitoring/backfill/status")).json()["jobs"]
    (feedback,) = (await client.get(f"{FEEDBACK}/user")).json()["feedback"]
    assert {job["created_by"] for job in jobs} == {SUBJECT}
    assert feedback["user_id"] == SUBJECT


async def test_nobody_writes_in_another_ones_name(client: httpx.AsyncClient, database: TestDatabase) -> None:
    calls = await make_world(client)
    before = snapshot(database)
    for (method, path), call in calls.items():
        if call.body is None:
            continue
        for name in ("created_by", "user_id"):
            body = {**call.body, name: "somebody else"}
            answer = await type(call)(call.status, call.path, call.query, body).send(client, method, path)
            assert_problem(answer, 422, "invalid-input", name)
    assert snapshot(database) == before


async def test_another_users_feedback_needs_the_admin_scope(
    client: httpx.AsyncClient, make_client: MakeClient, make_key: MakeKey
) -> None:
    await make_world(client)
    reader = make_client(make_key(Scope.UTXOIQ_READ, subject="reader"))
    admin = make_client(make_key(Scope.UTXOIQ_READ, Scope.UTXOIQ_ADMIN, subject="admin"))
    own = await reader.get(f"{FEEDBACK}/user", params={"user": "reader"})
    refused = await reader.get(f"{FEEDBACK}/user", params={"user": SUBJECT})
    allowed = await admin.get(f"{FEEDBACK}/user", params={"user": SUBJECT})
    assert own.json()["feedback"] == []
    assert "utxoiq:admin" in assert_problem(refused, 403, "forbidden")["detail"]
    assert [row["insight_id"] for row in allowed.json()["feedback"]] == [INSIGHT]


async def test_who_did_what_to_a_job_is_in_the_audit_log(client: httpx.AsyncClient, database: TestDatabase) -> None:
    job = await start_job(client, "blocks")
    await client.post(f"/api/v1/monitoring/backfill/{job}/pause")
    entries = [row for row in snapshot(database)["audit_log"] if job in row]
    assert len(entries) == 2
    assert "backfill.start" in entries[0]
    assert "backfill.pause" in entries[1]
    assert all("o'brien" in entry for entry in entries)
