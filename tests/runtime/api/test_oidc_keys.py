"""An issuer's keys: fetched with a deadline, kept while it is down, and found again when it changes them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from runtime.api import oidc_keys
from runtime.api.oidc_keys import FRESH_FOR, MOST_BYTES, PAUSE, STALE_FOR, IssuerKeys
from runtime.platform.providers import OidcProvider
from runtime.problems import Unavailable
from tests.issuer import AUDIENCE, Issuer, issuing, public_jwk

DISCOVERY = "/.well-known/openid-configuration"


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as started:
        yield started


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(issuer: Issuer, clock: Clock) -> AsyncIterator[IssuerKeys]:
    provider = OidcProvider(issuer=issuer.url, audience=AUDIENCE, scopes=frozenset({"ard:read"}))
    made = IssuerKeys(provider, clock=clock)
    yield made
    await made.close()


async def test_keys_are_fetched_once_however_many_ask_at_once(keys: IssuerKeys, issuer: Issuer) -> None:
    found = await asyncio.gather(*(keys.find("rsa") for _ in range(20)))
    assert all(found)
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_an_address_of_the_keys_that_is_set_needs_no_discovery(issuer: Issuer, clock: Clock) -> None:
    provider = OidcProvider(
        issuer=issuer.url, audience=AUDIENCE, scopes=frozenset({"ard:read"}), jwks_uri=f"{issuer.url}/keys"
    )
    assert await IssuerKeys(provider, clock=clock).find("ec") is not None
    assert issuer.asked == ["/keys"]


async def test_a_new_key_is_found_and_a_withdrawn_one_is_not(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    assert await keys.find("rsa") is not None
    issuer.published = ["rsa2"]
    clock.now += PAUSE
    assert await keys.find("rsa2") is not None
    assert await keys.find("rsa") is None


async def test_however_many_keys_are_unknown_the_issuer_is_asked_once_in_ten_seconds(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    for second in range(25):
        clock.now = 1000.0 + second
        for number in range(20):
            assert await keys.find(f"unknown {number}") is None
    assert issuer.keys_asked == 3


async def test_keys_are_fetched_again_after_an_hour(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    assert await keys.find("rsa") is not None
    clock.now += FRESH_FOR - 1
    assert await keys.find("rsa") is not None
    assert issuer.keys_asked == 1
    issuer.published = ["ec"]
    clock.now += 2
    assert await keys.find("rsa") is None
    assert issuer.keys_asked == 2


async def test_known_keys_go_on_working_for_a_day_while_the_issuer_is_down(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    assert await keys.find("rsa") is not None
    await issuer.stop()
    clock.now += STALE_FOR - 1
    assert await keys.find("rsa") is not None
    # Whether it has another by now, nobody knows.
    with pytest.raises(Unavailable):
        await keys.find("rsa2")
    clock.now += 2
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    await issuer.start()
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


async def test_an_issuer_that_is_down_from_the_start_is_unavailable_until_it_answers(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    await issuer.stop()
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await keys.find("rsa")
        assert int(caught.value.headers["Retry-After"]) > 0
    await issuer.start()
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


async def test_an_issuer_that_hangs_is_given_up_at_the_deadline(
    keys: IssuerKeys, issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_keys, "FETCH_DEADLINE", 0.3)
    issuer.passing.clear()
    started = time.monotonic()
    answers = await asyncio.gather(*(keys.find("rsa") for _ in range(10)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    assert 0.3 <= time.monotonic() - started < 5
    # Those who come next do not wait for it again.
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    assert time.monotonic() - started < 0.2
    issuer.passing.set()
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


async def test_who_goes_away_does_not_end_what_others_wait_for(keys: IssuerKeys, issuer: Issuer) -> None:
    issuer.passing.clear()
    impatient, patient = (asyncio.create_task(keys.find("rsa")) for _ in range(2))
    async with asyncio.timeout(5):
        while not issuer.asked:  # noqa: ASYNC110  # what is waited for is the server's list
            await asyncio.sleep(0.01)
    impatient.cancel()
    issuer.passing.set()
    assert await patient is not None
    assert impatient.cancelled()


def answer(text: str = "", **options: object) -> web.Response:
    return web.Response(text=text, content_type="application/json", **options)


BROKEN = {
    "a failure": (DISCOVERY, answer(status=500)),
    "no JSON": ("/keys", answer("<html>")),
    "no object": ("/keys", answer("[]")),
    "a nest": ("/keys", answer("[" * 100_000)),
    "no text": ("/keys", web.Response(body=b"\xff\xfe")),
    "no keys": ("/keys", answer("{}")),
    "keys that are no list": ("/keys", answer('{"keys": {"kid": "rsa"}}')),
    "keys that are none": ("/keys", answer('{"keys": [null, 1, {"kid": "rsa"}, {"kid": "rsa", "kty": "RSA"}]}')),
    "a shared secret": ("/keys", answer('{"keys": [{"kid": "rsa", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}')),
    "no algorithm": ("/keys", answer('{"keys": [{"kid": "rsa", "kty": "RSA", "alg": "none"}]}')),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_an_answer_that_is_of_no_use_is_a_failure_and_the_next_one_counts(
    case: str, keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    path, broken = BROKEN[case]
    issuer.answers[path] = broken
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


async def test_right_keys_in_too_long_an_answer_are_refused(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    right = json.dumps({"keys": [public_jwk("rsa")]})
    issuer.answers["/keys"] = answer(right + " " * MOST_BYTES)
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    issuer.answers["/keys"] = answer(right.ljust(MOST_BYTES))
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


async def test_a_discovery_document_of_another_issuer_is_refused(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    for named in ("https://other.example", issuer.url + "/", None):
        issuer.answers[DISCOVERY] = answer(json.dumps({"issuer": named, "jwks_uri": f"{issuer.url}/keys"}))
        with pytest.raises(Unavailable):
            await keys.find("rsa")
        clock.now += PAUSE
    assert issuer.asked == [DISCOVERY] * 3


async def test_a_redirect_is_not_followed(keys: IssuerKeys, issuer: Issuer, clock: Clock) -> None:
    issuer.answers["/keys"] = answer(status=302, headers={"Location": f"{issuer.url}/keys"})
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    assert issuer.keys_asked == 1
    clock.now += PAUSE
    assert await keys.find("rsa") is not None


@pytest.mark.parametrize("address", ["http://issuer.example/keys", "file:///etc/passwd", "//issuer.example", 7, None])
async def test_an_address_of_the_keys_that_others_could_answer_is_not_asked(
    address: object, keys: IssuerKeys, issuer: Issuer
) -> None:
    issuer.answers[DISCOVERY] = answer(json.dumps({"issuer": issuer.url, "jwks_uri": address}))
    with pytest.raises(Unavailable):
        await keys.find("rsa")
    assert issuer.asked == [DISCOVERY]


async def test_a_bad_answer_does_not_end_the_keys_that_are_known(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    assert await keys.find("rsa") is not None
    clock.now += FRESH_FOR + 1
    issuer.answers["/keys"] = answer("{}")
    assert await keys.find("rsa") is not None
    assert issuer.keys_asked == 2


async def test_of_a_set_only_keys_for_signatures_count(keys: IssuerKeys, issuer: Issuer) -> None:
    for_encryption = {**public_jwk("rsa"), "use": "enc"}
    issuer.answers["/keys"] = answer(json.dumps({"keys": [for_encryption, public_jwk("ec")]}))
    assert await keys.find("ec") is not None
    assert await keys.find("rsa") is None
