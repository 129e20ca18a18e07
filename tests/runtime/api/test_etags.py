"""ETag, If-None-Match and If-Match: nobody's change is overwritten by one who has not seen it."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.caches import until
from tests.conftest import TestDatabase
from tests.runtime.api.contract import assert_documented, assert_problem, document_of
from tests.runtime.api.snapshots import execute, is_waiting, snapshot
from tests.runtime.api.world import EXPERIMENTS, RUNS, post

EXPERIMENT, RUN = f"{EXPERIMENTS}/e", f"{RUNS}/r"
BOTH = [EXPERIMENT, RUN]


@pytest.fixture(autouse=True)
async def _one_of_each(client: httpx.AsyncClient) -> None:
    await post(client, RUNS, {"id": "r", "method": "other", "objective": "maximize"})
    await post(client, EXPERIMENTS, {"id": "e", "optimization_run_id": "r"})


async def tag(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200
    return str(answer.headers["etag"])


async def change(client: httpx.AsyncClient, path: str, given: str | None, **fields: Any) -> httpx.Response:
    return await client.patch(path, json=fields, headers={} if given is None else {"If-Match": given})


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BOTH)
async def test_a_tag_is_the_same_until_something_changes(path: str, client: httpx.AsyncClient) -> None:
    first = await tag(client, path)
    assert first == await tag(client, path)
    assert first[0] == first[-1] == '"'
    # Nothing is given, and nothing changes.
    assert (await client.patch(path, json={})).headers["etag"].strip('"') == first.strip('"').partition(".")[0]
    assert await tag(client, path) == first
    await change(client, path, None, name="x")
    assert await tag(client, path) != first


async def test_an_experiments_tag_is_also_of_the_campaign_that_it_shows(client: httpx.AsyncClient) -> None:
    before = await tag(client, EXPERIMENT)
    await change(client, RUN, None, name="x")
    between = await tag(client, EXPERIMENT)
    # Another experiment changes the campaign's best.
    await post(
        client,
        EXPERIMENTS,
        {"id": "other", "optimization_run_id": "r", "status": "completed", "result_value": 1.0},
    )
    after = await tag(client, EXPERIMENT)
    assert len({before, between, after}) == 3


@pytest.mark.parametrize("path", BOTH)
async def test_what_the_caller_has_is_not_sent_again(path: str, client: httpx.AsyncClient) -> None:
    document = document_of(client)
    template = f"{EXPERIMENTS}/{{experiment_id}}" if path == EXPERIMENT else f"{RUNS}/{{run_id}}"
    known = await tag(client, path)
    for given in (known, "*", f'"0", W/"x,y",{known}', f"W/{known}", f' , "" ,{known} '):
        answer = await client.get(path, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", known), given
        assert_documented(answer, document["paths"][template]["get"], document)
    lines = await client.get(path, headers=[("If-None-Match", '"0"'), ("If-None-Match", known)])
    assert lines.status_code == 304
    for given in ('"0"', f'{known[:-1]}0"', f'"x{known[1:]}', 'W/"0", ""'):
        assert (await client.get(path, headers={"If-None-Match": given})).status_code == 200, given
    await change(client, path, None, name="x")
    fresh = await client.get(path, headers={"If-None-Match": known})
    assert (fresh.status_code, fresh.headers["etag"] != known) == (200, True)


async def test_what_is_not_there_is_404_whatever_the_caller_has(client: httpx.AsyncClient) -> None:
    for path in (f"{EXPERIMENTS}/none", f"{RUNS}/none"):
        for given in ("*", '"1"'):
            assert_problem(await client.get(path, headers={"If-None-Match": given}), 404, "not-found")
            assert_problem(await change(client, path, given, name="x"), 404, "not-found")


# --- Changing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BOTH)
async def test_a_change_by_one_who_has_seen_the_last_one_is_made(path: str, client: httpx.AsyncClient) -> None:
    collection, _, name = path.rpartition("/")
    new = {"method": "other", "objective": "maximize"} if collection == RUNS else {}
    made = await client.post(collection, json={"id": f"{name}2", **new})
    known = made.headers["etag"]
    # Each answer's tag is good for the next change, and so is a read's.
    for number in range(3):
        answer = await change(client, f"{path}2", known, name=str(number))
        assert (answer.status_code, answer.headers["etag"] != known) == (200, True), answer.text
        known = answer.headers["etag"]
    assert (await change(client, f"{path}2", await tag(client, f"{path}2"), name="n")).status_code == 200


@pytest.mark.parametrize("path", BOTH)
async def test_a_change_of_what_has_changed_since_is_refused_and_does_nothing(
    path: str, client: httpx.AsyncClient, database: TestDatabase
) -> None:
    old = await tag(client, path)
    assert (await change(client, path, None, name="theirs")).status_code == 200
    current = await tag(client, path)
    before = snapshot(database)
    # A weak tag says that the bytes may differ; one that is none of ours fits nothing.
    for given in (old, f"W/{current}", '"x"', '""', f'"0",{old}', '"99999999999999999999"', f'"x{current[1:]}'):
        document = assert_problem(await change(client, path, given, name="mine"), 412, "precondition-failed")
        assert "read it again" in document["detail"]
    # What cannot be done either way is told to one who knows how things are.
    assert_problem(await change(client, path, old, status="completed", name="mine"), 412)
    assert snapshot(database) == before
    for given in (f'"x", {old},{current}', "*"):
        assert (await change(client, path, given, name="mine")).status_code == 200


async def test_another_experiments_end_is_no_reason_to_refuse_a_change(client: httpx.AsyncClient) -> None:
    seen = await tag(client, EXPERIMENT)
    best = {"id": "other", "optimization_run_id": "r", "status": "completed", "result_value": 1.0}
    await post(client, EXPERIMENTS, best)
    assert await tag(client, EXPERIMENT) != seen
    assert (await change(client, EXPERIMENT, seen, name="mine")).status_code == 200
    # It is one to look at the campaign again, whose best it changed.
    run = await tag(client, RUN)
    await client.patch(f"{EXPERIMENTS}/other", json={"result_value": 2.0})
    assert_problem(await change(client, RUN, run, name="mine"), 412)


async def test_what_is_no_list_of_tags_is_refused(client: httpx.AsyncClient, database: TestDatabase) -> None:
    before = snapshot(database)
    for given in ("", "1234", '"a', '"a" "b"', "**", '*, "a"', 'w/"a"', '"a",b', ",", '"a b"', '"ü'):
        for path in BOTH:
            changed = await client.patch(path, json={"name": "x"}, headers=[("If-Match", given.encode())])
            assert_problem(changed, 422, "invalid-input", "If-Match")
            read = await client.get(path, headers=[("If-None-Match", given.encode())])
            assert_problem(read, 422, "invalid-input", "If-None-Match")
    assert snapshot(database) == before


async def test_a_long_header_of_nothing_is_read_in_no_time(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(2):
        for given in (" " * 60_000 + "x", '"a",' * 15_000 + "x", '"a"  ,  ' * 7_000 + "x", "," * 60_000 + "x"):
            assert_problem(await change(client, EXPERIMENT, given, name="x"), 422, "invalid-input", "If-Match")


# --- At once ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BOTH)
async def test_of_twenty_changes_at_once_with_one_tag_one_is_made(path: str, client: httpx.AsyncClient) -> None:
    for _ in range(3):
        known = await tag(client, path)
        answers = await asyncio.gather(*(change(client, path, known, name=f"by {each}") for each in range(20)))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}
        (made,) = [answer for answer in answers if answer.status_code == 200]
        shown = (await client.get(path)).json()
        assert shown.get("experiment", shown) == made.json()


@pytest.mark.parametrize("path", BOTH)
async def test_callers_who_read_change_and_try_again_lose_no_change(path: str, client: httpx.AsyncClient) -> None:
    async def append(word: str) -> None:
        while True:
            read = await client.get(path)
            shown = read.json().get("experiment", read.json())
            described = f"{shown['description'] or ''} {word}".strip()
            answer = await change(client, path, read.headers["etag"], description=described)
            if answer.status_code == 200:
                return
            assert answer.status_code == 412

    words = [f"word{number}" for number in range(12)]
    await asyncio.gather(*map(append, words))
    shown = (await client.get(path)).json()
    assert sorted(shown.get("experiment", shown)["description"].split()) == sorted(words)


async def test_a_change_that_waited_for_anothers_end_sees_what_that_one_made(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    known = await tag(client, EXPERIMENT)
    engine = database.engine()
    with engine.begin() as other:
        other.exec_driver_sql("UPDATE experiments SET name = 'theirs'")
        mine = asyncio.create_task(change(client, EXPERIMENT, known, name="mine"))
        await until(lambda: is_waiting(database))
    engine.dispose()
    assert_problem(await mine, 412, "precondition-failed")
    assert (await client.get(EXPERIMENT)).json()["experiment"]["name"] == "theirs"


async def test_a_connection_that_was_ended_makes_no_change_meet_its_own_version(
    client: httpx.AsyncClient, database: TestDatabase
) -> None:
    known = await tag(client, EXPERIMENT)
    execute(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE datname = '{database.name}' AND usename = 'api_login'",
    )
    answer = await change(client, EXPERIMENT, known, name="mine")
    # It is not tried a second time, since the first may have been done.
    assert_problem(answer, 503, "unavailable")
    assert (await change(client, EXPERIMENT, known, name="mine")).status_code == 200


# --- What is said of it ----------------------------------------------------------------------------------------------


async def test_the_document_tells_of_tags_where_there_are_some(client: httpx.AsyncClient) -> None:
    document = document_of(client)
    tagged, parameters = set(), set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if "ETag" in response.get("headers", {}):
                    tagged.add((method, path, status))
            parameters |= {
                (method, path, each["name"]) for each in operation.get("parameters", []) if each["in"] == "header"
            }
    one, other = f"{EXPERIMENTS}/{{experiment_id}}", f"{RUNS}/{{run_id}}"
    assert tagged == {
        *(("get", path, status) for path in (one, other) for status in ("200", "304")),
        *(("patch", path, "200") for path in (one, other)),
        *(("post", path, "201") for path in (EXPERIMENTS, RUNS)),
    }
    assert {each for each in parameters if each[0] != "post"} == {
        *(("get", path, "If-None-Match") for path in (one, other)),
        *(("patch", path, "If-Match") for path in (one, other)),
    }
    for path in (one, other):
        assert "412" in document["paths"][path]["patch"]["responses"]
