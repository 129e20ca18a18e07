"""API keys: made, found, rotated, ended; what is stored of them, and what is told of it."""

import datetime as dt
import json
import re
import string
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from runtime.platform import tokens
from runtime.platform.keys import (
    SUBJECT_LENGTH,
    IssuedKey,
    KeyManagementError,
    create_key,
    find_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from runtime.platform.scopes import ALL_SCOPES
from tests.conftest import SECRET, SUBJECT, TestDatabase, autocommit
from tests.running import call, environment_of, runtime

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def jobs(database: TestDatabase) -> Iterator[Engine]:
    engine = database.engine("jobs_login")
    yield engine
    engine.dispose()


@pytest.fixture
def connection(jobs: Engine) -> Iterator[Connection]:
    """The jobs login's, which may make keys; nothing is committed."""
    with jobs.connect() as connected:
        yield connected


def create(connection: Connection, *scopes: str, **options: object) -> IssuedKey:
    return create_key(
        connection, **{"secret": SECRET, "subject": SUBJECT, "scopes": scopes or ("ard:read",), **options}
    )


def works(connection: Connection, key: str, *, secret: str = SECRET) -> bool:
    return find_key(connection, secret=secret, key=key)


def audited(connection: Connection) -> list[tuple[str, str, object]]:
    rows = connection.execute(
        text("SELECT action, object_id, detail FROM audit_log WHERE object_type = 'api_key' ORDER BY id")
    )
    return [(action, ident, detail) for action, ident, detail in rows]


# --- The text of a key ----------------------------------------------------------------------------------------------

KEY = tokens.new_token().text


def test_keys_are_long_random_and_of_a_form_that_scanners_know() -> None:
    made = {tokens.new_token().text for _ in range(1000)}
    assert len(made) == 1000
    assert len({key[12:52] for key in made}) == 1000
    assert all(re.fullmatch(r"hf_[a-z2-7]{8}_[a-z2-7]{40}[0-9a-f]{8}", key) for key in made)


@given(place=st.integers(0, len(KEY) - 1), character=st.sampled_from(string.ascii_letters + string.digits + "_-ü"))
def test_the_checksum_catches_any_mistyped_character(place: int, character: str) -> None:
    mistyped = KEY[:place] + character + KEY[place + 1 :]
    assert (tokens.parse(mistyped) is None) == (mistyped != KEY)


@given(place=st.integers(0, len(KEY) - 2))
def test_the_checksum_catches_two_characters_that_changed_places(place: int) -> None:
    swapped = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
    assert (tokens.parse(swapped) is None) == (swapped != KEY)


@given(st.text())
def test_other_text_is_no_key(other: str) -> None:
    assert tokens.parse(other) is None
    assert tokens.parse(f"hf_{other}") is None


def test_a_digest_depends_on_every_character_and_on_the_platforms_secret() -> None:
    found = tokens.digest(KEY, secret=SECRET)
    assert len(found) == 32
    assert found == tokens.digest(KEY, secret=SECRET)
    assert found != tokens.digest(KEY, secret=SECRET + "x")
    assert found != tokens.digest(KEY[:-1], secret=SECRET)
    # Another purpose of the same secret is another key.
    assert tokens.derive(SECRET, "api-keys") != tokens.derive(SECRET, "cursors")


# --- Create ---------------------------------------------------------------------------------------------------------


def test_a_key_works_and_only_with_the_platforms_secret(connection: Connection) -> None:
    issued = create(connection)
    assert works(connection, issued.key)
    assert not works(connection, issued.key, secret=SECRET[::-1])
    other = tokens.new_token()
    assert not works(connection, other.text)
    # Another secret part behind a prefix that exists.
    forged = f"hf_{issued.prefix}_{other.text[12:52]}"
    assert not works(connection, forged + tokens._checksum(forged))


def test_a_key_says_whose_it_is_and_what_it_may(connection: Connection) -> None:
    expires = dt.datetime.now(dt.UTC) + HOUR
    issued = create(connection, "utxoiq:write", "ard:read", "ard:read", expires_at=expires)
    assert (issued.subject, issued.scopes, issued.expires_at) == (SUBJECT, ("utxoiq:write", "ard:read"), expires)
    [row] = list_keys(connection)
    assert (row.prefix, row.subject, row.scopes) == (issued.prefix, SUBJECT, ["utxoiq:write", "ard:read"])
    assert (row.expires_at, row.revoked_at, row.last_used_at) == (expires, None, None)


def test_keys_of_one_subject_share_a_principal(connection: Connection) -> None:
    for subject in (SUBJECT, SUBJECT, "x" * SUBJECT_LENGTH):
        create(connection, *ALL_SCOPES, subject=subject)
    assert connection.scalar(text("SELECT count(*) FROM principals")) == 2
    assert connection.scalar(text("SELECT count(DISTINCT principal_id) FROM api_keys")) == 2


def test_two_first_keys_of_a_subject_at_once_are_both_made(database: TestDatabase) -> None:
    def make(_: int) -> str:
        engine = database.engine("jobs_login")
        with engine.begin() as connection:
            key = create(connection).key
        engine.dispose()
        return key

    with ThreadPoolExecutor(4) as threads:
        keys = list(threads.map(make, range(4)))
    with autocommit(database.url("jobs_login")) as connection:
        assert all(works(connection, key) for key in keys)
        assert connection.scalar(text("SELECT count(*) FROM principals")) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scopes": ("ard:read", "ard:fly", "root")}, "scopes: unknown ard:fly, root; there are ard:read, "),
        ({"scopes": ()}, "scopes: none given; there are ard:read, "),
        ({"subject": ""}, "subject: 1 to 100 printable"),
        ({"subject": "  "}, "subject: 1 to 100 printable"),
        ({"subject": "x" * 101}, "subject: 1 to 100 printable"),
        ({"subject": "a\nb"}, "subject: 1 to 100 printable"),
        ({"subject": "a\0b"}, "subject: 1 to 100 printable"),
    ],
)
def test_a_key_that_cannot_be_is_refused_and_leaves_nothing(
    options: dict[str, object], said: str, connection: Connection
) -> None:
    with pytest.raises(KeyManagementError, match=f"^{re.escape(said)}"):
        create(connection, **options)
    assert connection.scalar(text("SELECT count(*) FROM principals")) == 0
    assert audited(connection) == []


def test_a_key_that_expired_works_no_more(connection: Connection) -> None:
    now = connection.scalar(text("SELECT now()"))
    assert not works(connection, create(connection, expires_at=now).key)
    assert works(connection, create(connection, expires_at=now + dt.timedelta(microseconds=1)).key)


# --- Revoke ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prefix", "key"])
def test_a_revoked_key_works_no_more_and_the_moment_stays(name: str, connection: Connection) -> None:
    issued, other = create(connection), create(connection)
    assert revoke_key(connection, key=getattr(issued, name))
    assert not works(connection, issued.key)
    assert works(connection, other.key)
    before = list_keys(connection)
    assert not revoke_key(connection, key=getattr(issued, name))
    assert list_keys(connection) == before
    assert [action for action, *_ in audited(connection)] == ["key.create", "key.create", "key.revoke"]


def test_an_unknown_key_is_named_and_a_mistyped_one_is_not_repeated(connection: Connection) -> None:
    issued = create(connection)
    with pytest.raises(KeyManagementError, match="none has the prefix 'abcdefgh'"):
        revoke_key(connection, key="abcdefgh")
    mistyped = issued.key[:-1] + ("0" if issued.key[-1] != "0" else "1")
    for act in (
        lambda: revoke_key(connection, key=mistyped),
        lambda: rotate_key(connection, secret=SECRET, key=mistyped, overlap=HOUR),
    ):
        with pytest.raises(KeyManagementError, match=r"^key: mistyped") as caught:
            act()
        assert issued.key[12:52] not in str(caught.value)
    assert works(connection, issued.key)


# --- Rotate ---------------------------------------------------------------------------------------------------------


def expiry(connection: Connection, prefix: str) -> dt.datetime | None:
    return {row.prefix: row.expires_at for row in list_keys(connection)}[prefix]


@pytest.mark.parametrize("name", ["prefix", "key"])
def test_during_the_overlap_both_keys_work(name: str, connection: Connection) -> None:
    old = create(connection, "ard:read", "utxoiq:admin")
    new = rotate_key(connection, secret=SECRET, key=getattr(old, name), overlap=HOUR)
    assert works(connection, old.key)
    assert works(connection, new.key)
    assert (new.subject, new.scopes, new.expires_at) == (old.subject, old.scopes, None)
    assert expiry(connection, old.prefix) == connection.scalar(text("SELECT now()")) + HOUR
    assert new.key != old.key
    assert audited(connection)[-1] == ("key.rotate", old.prefix, {"to": new.prefix})


def test_without_overlap_the_old_key_ends_at_once(connection: Connection) -> None:
    old = create(connection)
    new = rotate_key(connection, secret=SECRET, key=old.prefix, overlap=dt.timedelta(0))
    assert not works(connection, old.key)
    assert works(connection, new.key)


def test_rotation_does_not_lengthen_the_old_key_and_the_new_one_expires_as_it_would_have(
    connection: Connection,
) -> None:
    expires = dt.datetime.now(dt.UTC) + HOUR
    old = create(connection, expires_at=expires)
    new = rotate_key(connection, secret=SECRET, key=old.prefix, overlap=24 * HOUR)
    assert expiry(connection, old.prefix) == new.expires_at == expires


@pytest.mark.parametrize("end", ["revoked", "expired", "unknown"])
def test_a_key_that_does_not_work_cannot_be_rotated(end: str, connection: Connection) -> None:
    now = connection.scalar(text("SELECT now()"))
    old = create(connection, expires_at=now if end == "expired" else None)
    if end == "revoked":
        revoke_key(connection, key=old.prefix)
    before = list_keys(connection), audited(connection)
    with pytest.raises(KeyManagementError, match="none that works"):
        rotate_key(connection, secret=SECRET, key="abcdefgh" if end == "unknown" else old.prefix, overlap=HOUR)
    assert (list_keys(connection), audited(connection)) == before


# --- The audit log --------------------------------------------------------------------------------------------------


def test_every_action_leaves_an_entry_without_the_key(connection: Connection) -> None:
    old = create(connection, "ard:read")
    new = rotate_key(connection, secret=SECRET, key=old.key, overlap=HOUR)
    revoke_key(connection, key=new.key)
    assert audited(connection) == [
        ("key.create", old.prefix, {"subject": SUBJECT, "scopes": ["ard:read"]}),
        ("key.rotate", old.prefix, {"to": new.prefix}),
        ("key.revoke", new.prefix, None),
    ]


def test_an_action_that_is_undone_leaves_no_entry(jobs: Engine) -> None:
    with jobs.connect() as connection:
        create(connection)
        connection.rollback()
        assert (list_keys(connection), audited(connection)) == ([], [])


# --- The commands ---------------------------------------------------------------------------------------------------


def everything_stored(database: TestDatabase) -> str:
    with autocommit(database.url()) as connection:
        tables = list(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
        rows = [str(row) for table in tables for row in connection.execute(text(f"SELECT t::text FROM {table} t"))]
    return "\n".join(rows)


def test_the_commands_show_a_key_once_and_nothing_keeps_it(
    database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with autocommit(database.url()) as connection:
        # The server writes down whatever it is told.
        connection.execute(text(f"ALTER DATABASE {database.name} SET log_statement = 'all'"))
    said: list[str] = []

    def keys(*arguments: str) -> str:
        if not said:
            done = runtime("keys", *arguments, cwd=tmp_path, environment=environment_of(database))
        else:
            done = call(monkeypatch, capsys, "keys", *arguments, environment=environment_of(database))
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
        return done.stdout

    created = json.loads(
        keys("create", "--subject", SUBJECT, "--scopes", "ard:read, utxoiq:write", "--expires-in-days", "7", "--json")
    )
    assert set(created) == {"key", "prefix", "subject", "scopes", "expires_at"}
    assert (created["subject"], created["scopes"]) == (SUBJECT, ["ard:read", "utxoiq:write"])
    lifetime = dt.datetime.fromisoformat(created["expires_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=6.99) < lifetime <= dt.timedelta(days=7)

    # For a person: the key alone on standard output, so that it can be piped.
    plain = keys("create", "--subject", "plain", "--scopes", "ard:read").strip()
    assert tokens.parse(plain)
    rotated = json.loads(keys("rotate", created["key"], "--overlap-hours", "0.5", "--json"))
    issued = [created["key"], plain, rotated["key"]]

    listed = json.loads(keys("list", "--json"))
    assert [row["prefix"] for row in listed] == [tokens.parse(key).prefix for key in reversed(issued)]
    assert set(listed[0]) == {
        *("prefix", "subject", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    }
    assert all(row["prefix"] in keys("list") for row in listed[:1])
    assert keys("revoke", plain) == "revoked\n"
    assert keys("revoke", plain) == "was revoked before\n"

    with autocommit(database.url("jobs_login")) as connection:
        assert [works(connection, key) for key in issued] == [True, False, True]
    stored, log = everything_stored(database), database.server.log.read_text()
    assert created["prefix"] in stored
    assert created["prefix"] in log
    for key in issued:
        # Neither the whole nor the part that is secret.
        assert sum(text.count(key) for text in said) == 1
        assert sum(text.count(key[12:52]) for text in said) == 1
        assert key[12:52] not in stored
        assert key[12:52] not in log
        assert key[12:52].encode().hex() not in stored
    assert SECRET not in stored
    assert SECRET not in log


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("create", "--subject", "s", "--scopes", "ard:fly"), "holdfast: scopes: unknown ard:fly; there are ard:read"),
        (("create", "--subject", "s", "--scopes", " , "), "holdfast: scopes: none given; there are ard:read"),
        (("create", "--subject", "s" * 101, "--scopes", "ard:read"), "holdfast: subject: 1 to 100 printable"),
        (("revoke", "abcdefgh"), "holdfast: key: none has the prefix 'abcdefgh'; "),
        (("rotate", "abcdefgh"), "holdfast: key: none that works has the prefix 'abcdefgh'; "),
    ],
)
def test_a_refused_command_says_one_line_and_changes_nothing(
    arguments: tuple[str, ...],
    line: str,
    database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = call(monkeypatch, capsys, "keys", *arguments, environment=environment_of(database))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    with autocommit(database.url("jobs_login")) as connection:
        assert (list_keys(connection), audited(connection)) == ([], [])


def test_the_list_shows_any_subject_as_it_is_and_whether_each_key_works(
    database: TestDatabase,
    make_key: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = dt.datetime.now(dt.UTC)
    make_key(subject="we[/b]ird [red]")
    make_key(subject="later", expires_at=now + dt.timedelta(days=400))
    make_key(subject="over", expires_at=now - HOUR)
    ended = make_key(subject="ended")
    engine = database.engine("jobs_login")
    with engine.begin() as connection:
        revoke_key(connection, key=ended)
    engine.dispose()
    monkeypatch.setenv("COLUMNS", "120")
    shown = call(monkeypatch, capsys, "keys", "list", environment=environment_of(database)).stdout
    states = {line.split("│")[2].strip(): line.split("│")[6].strip() for line in shown.splitlines() if "20" in line}
    assert states == {
        "we[/b]ird [red]": "yes",
        "later": f"until {now + dt.timedelta(days=400):%Y-%m-%d}",
        "over": f"expired {now - HOUR:%Y-%m-%d}",
        "ended": f"revoked {now:%Y-%m-%d}",
    }
