"""Bearer tokens: one that holds speaks for its subject; any other is refused, and says why."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from runtime.api import oidc_keys
from runtime.api.app import create_app
from runtime.platform.keys import KeyManagementError
from tests.caches import until
from tests.conftest import TestDatabase, autocommit
from tests.issuer import AUDIENCE, USER, Issuer, issuing, private_key
from tests.runtime.api.contract import application_of, assert_problem, document_of
from tests.runtime.api.snapshots import execute, snapshot
from tests.runtime.api.world import EXPERIMENTS, FEEDBACK, start_job

ROBOT = "scheduler@project.iam.gserviceaccount.com"
SCOPES = ["ard:read", "ard:write", "utxoiq:read", "utxoiq:write"]

Use = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as started:
        yield started


@asynccontextmanager
async def serving(database: TestDatabase, *providers: dict[str, Any]) -> AsyncIterator[Use]:
    """An application with these providers; what is yielded makes clients that send a token."""
    app = create_app(database.settings(db_pool_min=1, oidc_providers=list(providers)))
    clients: list[httpx.AsyncClient] = []

    def use(token: str | None = None, **headers: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://holdfast.test",
            headers=({"Authorization": f"Bearer {token}"} if token is not None else {}) | headers,
        )
        clients.append(client)
        return client

    async with app.router.lifespan_context(app):
        yield use
        for client in clients:
            await client.aclose()


def provider(issuer: Issuer, **others: Any) -> dict[str, Any]:
    return {"issuer": issuer.url, "audience": AUDIENCE, "scopes": SCOPES, **others}


@pytest.fixture
async def use(database: TestDatabase, issuer: Issuer) -> AsyncIterator[Use]:
    """Clients of an application that believes the issuer."""
    async with serving(database, provider(issuer)) as made:
        yield made


def principals(database: TestDatabase) -> list[tuple[str, str]]:
    with autocommit(database.url()) as connection:
        return [
            (issuer, subject) for issuer, subject in connection.execute(text("SELECT issuer, subject FROM principals"))
        ]


def assert_refused(answer: httpx.Response, words: str = "", *, token: str = "") -> None:
    body = assert_problem(answer, 401, "unauthenticated")
    assert words in body["detail"]
    challenge = answer.headers["www-authenticate"]
    assert challenge == 'ApiKey realm="holdfast", Bearer realm="holdfast", error="invalid_token"'
    # Neither the token nor a part of it that says something.
    for part in filter(None, token.split(".")):
        assert len(part) < 8 or part not in answer.text


# --- What holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rsa", "ec"])
async def test_a_token_reads_and_writes_and_its_subject_is_the_user(
    key: str, use: Use, issuer: Issuer, database: TestDatabase
) -> None:
    client = use(issuer.token(key=key, email="someone@example.com", email_verified=True))
    made = await client.post(EXPERIMENTS, json={"id": "e"})
    assert made.status_code == 201, made.text
    (row,) = (await client.get(EXPERIMENTS)).json()["experiments"]
    assert row["created_by"] == USER
    await start_job(client, "blocks")
    assert (await client.post(f"{FEEDBACK}/rate", json={"insight_id": "i", "rating": 5})).status_code == 200
    (feedback,) = (await client.get(f"{FEEDBACK}/user")).json()["feedback"]
    assert feedback["user_id"] == USER
    assert principals(database) == [(issuer.url, USER)]


async def test_the_first_calls_of_a_user_at_once_make_one_principal(
    use: Use, issuer: Issuer, database: TestDatabase
) -> None:
    # Ten tokens, so that none is remembered from another's call.
    clients = [use(issuer.token(exp=int(time.time()) + 60 + number)) for number in range(10)]
    await asyncio.gather(*(start_job(client, f"job {number}") for number, client in enumerate(clients)))
    assert principals(database) == [(issuer.url, USER)]
    with autocommit(database.url()) as connection:
        assert connection.scalar(text("SELECT count(DISTINCT principal_id) FROM audit_log WHERE actor = 'user-1'")) == 1


async def test_a_clock_that_is_off_by_a_little_and_an_audience_of_several_do_not_matter(
    use: Use, issuer: Issuer
) -> None:
    now = int(time.time())
    several = ["https://other.example", AUDIENCE]
    for claims in ({"iat": now + 20, "nbf": now + 20}, {"exp": now - 20}, {"aud": several}):
        answer = await use(issuer.token(**claims)).get(EXPERIMENTS)
        assert answer.status_code == 200, (claims, answer.text)


async def test_a_token_that_was_verified_is_remembered_until_it_expires(use: Use, issuer: Issuer) -> None:
    # With the half minute that clocks may differ, it lasts about two seconds.
    client = use(issuer.token(exp=int(time.time()) - 28))
    assert (await client.get("/api/experiments/none")).status_code == 404
    (digest,) = application_of(client).state.bearers._known
    assert len(digest) == 32

    async def is_refused() -> bool:
        return (await client.get("/api/experiments/none")).status_code == 401

    await until(is_refused)
    assert_refused(await client.get(EXPERIMENTS), "it expired ")


async def test_what_is_remembered_has_a_bound(use: Use, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.api.oidc.REMEMBERED", 3)
    for number in range(8):
        client = use(issuer.token(jti=str(number)))
        assert (await client.get(EXPERIMENTS)).status_code == 200
        assert len(application_of(client).state.bearers._known) <= 3


async def test_a_token_without_the_scope_is_refused(database: TestDatabase, issuer: Issuer) -> None:
    async with serving(database, provider(issuer, scopes=["ard:read"])) as use:
        client = use(issuer.token())
        assert (await client.get(EXPERIMENTS)).status_code == 200
        body = assert_problem(await client.post(EXPERIMENTS, json={"id": "e"}), 403, "forbidden")
        assert "ard:write" in body["detail"]


# --- What does not ----------------------------------------------------------------------------------------------------


def compact(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = base64.urlsafe_b64encode(sign(b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


def claims_of(issuer: Issuer, **others: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": issuer.url, "aud": AUDIENCE, "sub": USER, "iat": now, "exp": now + 300, **others}


def with_public_key_as_secret(issuer: Issuer) -> str:
    pem = private_key("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}
    return compact(header, claims_of(issuer), lambda text: hmac.digest(pem, text, hashlib.sha256))


def changed(issuer: Issuer) -> str:
    """Another user's claims under a signature that fits this one's."""
    header, _, signature = issuer.token().split(".")
    return ".".join([header, issuer.token(sub="admin").split(".")[1], signature])


def ago(seconds: int) -> int:
    return int(time.time()) - seconds


NOT_A_TOKEN = "it is not a JSON Web Token"
REFUSED: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "expired": (lambda i: i.token(exp=ago(300)), "it expired 30"),
    "not yet valid": (lambda i: i.token(nbf=ago(-300)), "it is not valid yet"),
    "of a clock that is off": (lambda i: i.token(iat=ago(-300)), "compare the issuer's clock"),
    "for another audience": (lambda i: i.token(aud="https://other.example"), "another audience"),
    "for nobody": (lambda i: i.token(aud=None), "lacks the claim aud"),
    "without an end": (lambda i: i.token(exp=None), "lacks the claim exp"),
    "without a beginning": (lambda i: i.token(iat=None), "lacks the claim iat"),
    "an end that is no number": (lambda i: i.token(exp="soon"), NOT_A_TOKEN),
    "an end without end": (lambda i: i.token(exp=float("inf")), NOT_A_TOKEN),
    "of another issuer": (lambda i: i.token(iss="https://other.example"), "of an issuer that is not known here"),
    "of an issuer that is nearly ours": (lambda i: i.token(iss=i.url + "/"), "of an issuer that is not known here"),
    "of no issuer": (lambda i: i.token(iss=None), "of an issuer that is not known here"),
    "by another key": (lambda i: i.token(key="rsa-of-another", kid="rsa"), "its signature does not fit"),
    "by another kind of key": (lambda i: i.token(key="ec", kid="rsa"), "its algorithm is not the key's"),
    "by a key that nobody knows": (lambda i: i.token(key="rsa-of-another"), "does not publish"),
    "changed": (changed, "its signature does not fit"),
    "none": (lambda i: jwt.encode(claims_of(i), None, algorithm="none", headers={"kid": "rsa"}), "algorithm"),
    "none, in other letters": (
        lambda i: compact({"alg": "NoNe", "kid": "rsa"}, claims_of(i), lambda _: b""),
        "its algorithm is not accepted",
    ),
    "right, but without its signature": (
        lambda i: compact({"alg": "RS256", "kid": "rsa"}, claims_of(i), lambda _: b""),
        "its signature does not fit",
    ),
    "HS256 with the public key": (with_public_key_as_secret, "its algorithm is not accepted"),
    "with a key of its own": (
        lambda i: compact({"alg": "RS256", "kid": "x", "jku": f"{i.url}/k"}, claims_of(i), lambda _: b"x"),
        "does not publish",
    ),
    "without the key's name": (
        lambda i: compact({"alg": "RS256"}, claims_of(i), lambda _: b"x"),
        "names no key",
    ),
    "a key's name that is a number": (
        lambda i: compact({"alg": "RS256", "kid": 7}, claims_of(i), lambda _: b"x"),
        NOT_A_TOKEN,
    ),
    "an algorithm that is a list": (lambda i: compact({"alg": ["RS256"]}, claims_of(i), lambda _: b"x"), "algorithm"),
    "an issuer that is a list": (
        lambda i: compact({"alg": "RS256", "kid": "rsa"}, claims_of(i, iss=[i.url]), lambda _: b"x"),
        "of an issuer that is not known here",
    ),
    "e-mail not verified": (lambda i: i.token(email=ROBOT, email_verified=False), "not verified"),
    "e-mail verified in words": (lambda i: i.token(email=ROBOT, email_verified="true"), "not verified"),
    "e-mail of which nothing is said": (lambda i: i.token(email=ROBOT), "not verified"),
    "no subject": (lambda i: i.token(sub=None), "lacks the claim sub"),
    "an empty subject": (lambda i: i.token(sub=""), "its subject (sub)"),
    "a long subject": (lambda i: i.token(sub="x" * 101), "its subject (sub)"),
    "a subject with a nul": (lambda i: i.token(sub="a\0b"), "its subject (sub)"),
    "a subject with half a character": (lambda i: i.token(sub="\ud800"), "its subject (sub)"),
    "garbage": (lambda _: "garbage", NOT_A_TOKEN),
    "three parts of garbage": (lambda _: "a.b.c", NOT_A_TOKEN),
    "a nest": (
        lambda _: base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=").decode() + ".e30.AAAA",
        NOT_A_TOKEN,
    ),
    "nothing": (lambda _: "", NOT_A_TOKEN),
    "oversize": (lambda i: i.token(x="x" * 8192), "longer than 8192 bytes"),
}


async def test_a_token_that_does_not_hold_is_refused_and_changes_nothing(
    use: Use, issuer: Issuer, database: TestDatabase, subtests: pytest.Subtests
) -> None:
    document = document_of(use())
    before = snapshot(database)
    for name, (make, words) in REFUSED.items():
        with subtests.test(name):
            token = make(issuer)
            client = use(token)
            for answer in (
                await client.get(EXPERIMENTS),
                # The body is not read.
                await client.post(EXPERIMENTS, content=b"{not json", headers={"content-type": "application/json"}),
            ):
                assert_refused(answer, words, token=token)
                assert_problem(answer, 401, "unauthenticated", document=document)
    assert snapshot(database) == before
    assert principals(database) == []
    assert application_of(use()).state.bearers._known == {}
    # None of those many keys that nobody knows made the issuer work.
    assert issuer.keys_asked == 1


async def test_a_request_has_one_credential(use: Use, issuer: Issuer, make_key: Callable[..., str]) -> None:
    token, key = issuer.token(), make_key()
    both = await use(token, **{"X-API-Key": key}).get(EXPERIMENTS)
    body = assert_problem(both, 401, "unauthenticated")
    assert "two credentials" in body["detail"]
    assert 'error="invalid_request"' in both.headers["www-authenticate"]
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert_problem(await use().get(EXPERIMENTS, headers=twice), 401, "unauthenticated")
    assert (await use(**{"X-API-Key": key}).get(EXPERIMENTS)).status_code == 200
    assert (await use(token).get(EXPERIMENTS)).status_code == 200


async def test_without_a_credential_both_ways_are_named_and_no_error(use: Use) -> None:
    answer = await use().get(EXPERIMENTS)
    body = assert_problem(answer, 401, "unauthenticated")
    assert "X-API-Key" in body["detail"]
    assert "Bearer" in body["detail"]
    assert answer.headers["www-authenticate"] == 'ApiKey realm="holdfast", Bearer realm="holdfast"'


async def test_another_kind_of_authorization_says_what_to_write(use: Use) -> None:
    for authorization in ("Basic dXNlcjpwYXNz", "Bearer", "Token x"):
        answer = await use(Authorization=authorization).get(EXPERIMENTS)
        assert_refused(answer, "Authorization takes Bearer and an OIDC token")


async def test_the_schemes_name_is_of_any_case(use: Use, issuer: Issuer) -> None:
    assert (await use(Authorization=f"bEARER  {issuer.token()}").get(EXPERIMENTS)).status_code == 200


async def test_where_no_provider_is_set_tokens_are_refused(database: TestDatabase, issuer: Issuer) -> None:
    async with serving(database) as use:
        assert_refused(await use(issuer.token()).get(EXPERIMENTS), "no OIDC provider is set here")


# --- E-mails that decide ----------------------------------------------------------------------------------------------


async def test_only_listed_emails_have_scopes_and_others_leave_no_principal(
    database: TestDatabase, issuer: Issuer
) -> None:
    listed = {"issuer": issuer.url, "audience": AUDIENCE, "emails": {ROBOT: ["ard:read"]}}
    async with serving(database, listed) as use:
        for claims in (
            {"sub": "other", "email": "other@gmail.com", "email_verified": True},
            {"sub": "none"},
            {"sub": "list", "email": [ROBOT], "email_verified": True},
        ):
            body = assert_problem(await use(issuer.token(**claims)).get(EXPERIMENTS), 403, "forbidden")
            assert "e-mail" in body["detail"]
        assert principals(database) == []
        assert_refused(
            await use(issuer.token(email=ROBOT, email_verified=False)).get(EXPERIMENTS), "e-mail is not verified"
        )
        robot = use(issuer.token(email=ROBOT, email_verified=True))
        assert (await robot.get(EXPERIMENTS)).status_code == 200
        assert_problem(await robot.post(EXPERIMENTS, json={"id": "e"}), 403, "forbidden")


async def test_a_listed_email_has_its_scopes_besides_those_of_all(database: TestDatabase, issuer: Issuer) -> None:
    both = provider(issuer, scopes=["ard:read"], emails={ROBOT: ["ard:write"]})
    async with serving(database, both) as use:
        robot = use(issuer.token(sub="robot", email=ROBOT, email_verified=True))
        assert (await robot.get(EXPERIMENTS)).status_code == 200
        assert (await robot.post(EXPERIMENTS, json={"id": "e"})).status_code == 201
        assert_problem(await use(issuer.token()).post(EXPERIMENTS, json={"id": "f"}), 403, "forbidden")


# --- Several issuers, and who has a subject ---------------------------------------------------------------------------


async def test_a_token_is_for_its_own_issuers_audience_and_keys(database: TestDatabase, issuer: Issuer) -> None:
    async with (
        issuing() as other,
        serving(database, provider(issuer), provider(other, audience="other", scopes=["utxoiq:read"])) as use,
    ):
        other.published = ["rsa-of-other"]
        right = {"iss": other.url, "aud": "other", "sub": "user-2"}
        assert (await use(other.token(key="rsa-of-other", **right)).get(f"{FEEDBACK}/user")).status_code == 200
        assert_problem(await use(other.token(key="rsa-of-other", **right)).get(EXPERIMENTS), 403, "forbidden")
        assert_refused(await use(issuer.token(**right)).get(EXPERIMENTS), "does not publish")
        assert_refused(await use(issuer.token(aud="other")).get(EXPERIMENTS), "another audience")


async def test_a_subject_of_another_issuer_is_refused(
    use: Use, issuer: Issuer, database: TestDatabase, make_key: Callable[..., str]
) -> None:
    execute(database, "INSERT INTO principals (issuer, subject) VALUES ('https://first.example', 'user-1')")
    make_key(subject="ops")
    for subject in (USER, "ops"):
        body = assert_problem(await use(issuer.token(sub=subject)).get(EXPERIMENTS), 403, "forbidden")
        assert "another issuer" in body["detail"]
        assert "first.example" not in body["detail"]


async def test_a_key_cannot_be_made_for_a_subject_of_an_issuer(
    use: Use, issuer: Issuer, make_key: Callable[..., str]
) -> None:
    assert (await use(issuer.token()).get(EXPERIMENTS)).status_code == 200
    with pytest.raises(KeyManagementError, match="is a user of an OIDC issuer"):
        make_key(subject=USER)


async def test_the_apis_login_cannot_make_principals_of_this_platforms_own(database: TestDatabase) -> None:
    engine = database.engine("api_login")
    with engine.connect() as connection, pytest.raises(Exception, match="the issuer is not a URL"):
        connection.execute(text("SELECT ensure_principal('holdfast', 'admin')"))
    engine.dispose()


async def test_while_the_database_only_reads_known_users_read_and_new_ones_wait(
    database: TestDatabase, issuer: Issuer
) -> None:
    execute(database, f"INSERT INTO principals (issuer, subject) VALUES ('{issuer.url}', 'known')")
    execute(database, f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    async with serving(database, provider(issuer)) as use:
        assert (await use(issuer.token(sub="known")).get(EXPERIMENTS)).status_code == 200
        answer = await use(issuer.token()).get(EXPERIMENTS)
        assert_problem(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0


# --- The issuer's own days --------------------------------------------------------------------------------------------


async def test_a_token_of_a_new_key_is_taken_when_the_issuer_changes_keys(
    use: Use, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await use(issuer.token()).get(EXPERIMENTS)).status_code == 200
    monkeypatch.setattr(oidc_keys, "PAUSE", 0.0)
    issuer.published = ["rsa-of-another"]
    assert (await use(issuer.token(key="rsa-of-another")).get(EXPERIMENTS)).status_code == 200
    assert_refused(await use(issuer.token(jti="another")).get(EXPERIMENTS), "does not publish")


async def test_while_the_issuer_is_down_known_keys_work_and_without_them_it_is_a_503(
    use: Use, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await issuer.stop()
    answer = await use(issuer.token()).get(EXPERIMENTS)
    assert_problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    monkeypatch.setattr(oidc_keys, "PAUSE", 0.0)
    await issuer.start()
    assert (await use(issuer.token()).get(EXPERIMENTS)).status_code == 200
    await issuer.stop()
    assert (await use(issuer.token(sub="user-2")).get(EXPERIMENTS)).status_code == 200


async def test_while_an_issuer_hangs_other_requests_go_on(
    use: Use, issuer: Issuer, make_key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_keys, "FETCH_DEADLINE", 1.0)
    issuer.passing.clear()
    waiting = asyncio.create_task(use(issuer.token()).get(EXPERIMENTS))
    keyed = use(**{"X-API-Key": make_key()})
    for _ in range(10):
        assert (await keyed.get(EXPERIMENTS)).status_code == 200
    assert not waiting.done()
    answer = await asyncio.wait_for(waiting, 5)
    assert_problem(answer, 503, "unavailable")


async def test_an_application_ends_while_an_issuer_hangs(database: TestDatabase, issuer: Issuer) -> None:
    issuer.passing.clear()
    async with serving(database, provider(issuer)) as use:
        waiting = asyncio.create_task(use(issuer.token()).get(EXPERIMENTS))
        async with asyncio.timeout(5):
            while not issuer.asked:  # noqa: ASYNC110  # what is waited for is the server's list
                await asyncio.sleep(0.01)
        ended = time.monotonic()
    await asyncio.wait([waiting])
    assert time.monotonic() - ended < oidc_keys.FETCH_DEADLINE / 2
