"""Cloud Storage as obstore meets it: everything here goes through the real client, over HTTP."""

import asyncio
import gzip
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import GCSStore

from runbooks.local.ports import free_port
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.storage import app
from tests.runbooks.sandbox.storages import LocalStorage, running, serving
from tests.waiting import wait_until

HOSTILE = [
    "plain",
    "with/slashes/in/it",
    "with space + plus",
    "100%",
    "%2e%2e%2fescape",
    "%2Fetc%2Fpasswd",
    "...",
    "a/..b/.c",
    "~/$HOME;`id`'\"&<>",
    "Ünïcødé/日本語/🦀",
    "back\\slash?query#fragment",
    "x" * 1024,
    "é" * 512,
]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStorage]:
    with serving(tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
def bucket(storage: LocalStorage, request: pytest.FixtureRequest) -> GCSStore:
    name = f"b{abs(hash(request.node.name)):x}"
    assert storage.application.state.store.create_bucket(name)
    return storage.client(name)


def names(store: GCSStore, prefix: str | None = None, **options: str) -> list[str]:
    return [meta["path"] for page in obstore.list(store, prefix, **options) for meta in page]


def test_an_object_comes_back_with_all_that_was_stored(bucket: GCSStore) -> None:
    attributes = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="a b"',
        "Content-Encoding": "identity",
        "Content-Language": "de",
        "sha256": "abc==",
    }
    put = obstore.put(bucket, "a/b.txt", b"content", attributes=attributes)
    got = obstore.get(bucket, "a/b.txt")
    assert bytes(got.bytes()) == b"content"
    assert dict(got.attributes) == attributes
    assert got.meta["size"] == 7
    assert (got.meta["e_tag"], got.meta["version"]) == (put["e_tag"], put["version"])
    assert abs(got.meta["last_modified"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert obstore.head(bucket, "a/b.txt") == got.meta


def test_an_empty_object_is_an_object(bucket: GCSStore) -> None:
    obstore.put(bucket, "empty", b"")
    assert bytes(obstore.get(bucket, "empty").bytes()) == b""
    assert obstore.head(bucket, "empty")["size"] == 0


def test_without_a_type_an_object_is_bytes(bucket: GCSStore) -> None:
    obstore.put(bucket, "a", b"")
    assert obstore.get(bucket, "a").attributes == {"Content-Type": "application/octet-stream"}


def test_replacing_gives_a_higher_generation_and_leaves_one_file(storage: LocalStorage, bucket: GCSStore) -> None:
    before = storage.files()
    versions = [int(obstore.put(bucket, "a", b"%d" % number)["version"] or 0) for number in range(5)]
    assert versions == sorted(set(versions))
    assert len(storage.files() - before) == 1
    obstore.delete(bucket, "a")
    assert storage.files() == before
    assert int(obstore.put(bucket, "a", b"again")["version"] or 0) > versions[-1]


def test_create_refuses_to_replace(bucket: GCSStore) -> None:
    obstore.put(bucket, "a", b"first", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(bucket, "a", b"second", mode="create")
    assert bytes(obstore.get(bucket, "a").bytes()) == b"first"


def test_update_replaces_only_the_version_it_names(storage: LocalStorage, bucket: GCSStore) -> None:
    first = obstore.put(bucket, "a", b"first")
    obstore.put(bucket, "a", b"second", mode={"version": first["version"]})
    files = storage.files()
    with pytest.raises(PreconditionError):
        obstore.put(bucket, "a", b"third", mode={"version": first["version"]})
    with pytest.raises(PreconditionError):
        obstore.put(bucket, "absent", b"", mode={"version": first["version"]})
    assert bytes(obstore.get(bucket, "a").bytes()) == b"second"
    assert storage.files() == files


def test_of_twenty_creators_one_wins(bucket: GCSStore) -> None:
    ready = threading.Barrier(20)

    def create(number: int) -> bool:
        ready.wait()
        try:
            obstore.put(bucket, "contested", b"%d" % number, mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        won = list(pool.map(create, range(20)))
    assert won.count(True) == 1
    assert bytes(obstore.get(bucket, "contested").bytes()) == b"%d" % won.index(True)


def test_twenty_counters_lose_no_count(bucket: GCSStore) -> None:
    obstore.put(bucket, "counter", b"0")

    def count(_: int) -> int:
        attempts = 0
        while True:
            attempts += 1
            got = obstore.get(bucket, "counter")
            try:
                obstore.put(bucket, "counter", b"%d" % (int(got.bytes()) + 1), mode={"version": got.meta["version"]})
            except PreconditionError:
                continue
            return attempts

    with ThreadPoolExecutor(20) as pool:
        attempts = sum(pool.map(count, range(20)))
    assert bytes(obstore.get(bucket, "counter").bytes()) == b"20"
    assert attempts > 20


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_is_only_a_name(storage: LocalStorage, bucket: GCSStore, name: str) -> None:
    around = set(storage.accounts.rglob("*"))
    obstore.put(bucket, name, name.encode())
    assert bytes(obstore.get(bucket, name).bytes()) == name.encode()
    assert names(bucket) == [name]
    obstore.copy(bucket, name, "copy")
    assert bytes(obstore.get(bucket, "copy").bytes()) == name.encode()
    assert {path.parent for path in set(storage.accounts.rglob("*")) - around} <= {
        storage.folder / "blobs",
        storage.accounts,
    }
    obstore.delete(bucket, [name, "copy"])
    assert names(bucket) == []


def test_a_name_above_1024_bytes_is_refused(bucket: GCSStore) -> None:
    with pytest.raises(GenericError, match="KeyTooLong"):
        obstore.put(bucket, "é" * 512 + "x", b"")


def test_ranges(bucket: GCSStore) -> None:
    content = os.urandom(100_000)
    obstore.put(bucket, "a", content)
    assert bytes(obstore.get_range(bucket, "a", start=10, end=20)) == content[10:20]
    assert bytes(obstore.get_range(bucket, "a", start=99_990, length=10)) == content[99_990:]
    assert bytes(obstore.get_range(bucket, "a", start=99_990, length=1_000)) == content[99_990:]
    pieces = obstore.get_ranges(bucket, "a", starts=[0, 50_000], lengths=[5, 7], coalesce=0)
    assert [bytes(piece) for piece in pieces] == [content[:5], content[50_000:50_007]]
    tail = obstore.get(bucket, "a", options={"range": {"suffix": 3}})
    assert bytes(tail.bytes()) == content[-3:]
    assert tail.range == (99_997, 100_000)
    assert tail.meta["size"] == 100_000
    assert bytes(obstore.get(bucket, "a", options={"range": {"offset": 99_000}}).bytes()) == content[99_000:]
    with pytest.raises(GenericError, match="InvalidRange"):
        obstore.get_range(bucket, "a", start=100_000, end=100_001)


def test_conditional_reads(bucket: GCSStore) -> None:
    etag = obstore.put(bucket, "a", b"x")["e_tag"]
    day = timedelta(days=1)
    now = datetime.now(UTC)
    for options in (
        {"if_match": etag},
        {"if_none_match": '"other"'},
        {"if_modified_since": now - day},
        {"if_unmodified_since": now + day},
    ):
        assert bytes(obstore.get(bucket, "a", options=options).bytes()) == b"x"  # type: ignore[call-overload]
    for options in ({"if_match": '"other"'}, {"if_unmodified_since": now - day}):
        with pytest.raises(PreconditionError):
            obstore.get(bucket, "a", options=options)  # type: ignore[call-overload]
    for options in ({"if_none_match": etag}, {"if_none_match": "*"}, {"if_modified_since": now + day}):
        with pytest.raises(NotModifiedError):
            obstore.get(bucket, "a", options=options)  # type: ignore[call-overload]


def test_a_read_by_version_finds_only_the_current_one(bucket: GCSStore) -> None:
    first = obstore.put(bucket, "a", b"first")
    assert bytes(obstore.get(bucket, "a", options={"version": first["version"]}).bytes()) == b"first"
    obstore.put(bucket, "a", b"second")
    with pytest.raises(FileNotFoundError):
        obstore.get(bucket, "a", options={"version": first["version"]})


def test_a_download_is_not_disturbed_by_a_new_version(storage: LocalStorage, bucket: GCSStore) -> None:
    content = os.urandom(20_000_000)
    obstore.put(bucket, "a", content)
    stream = iter(obstore.get(bucket, "a").stream())
    first = bytes(next(stream))
    obstore.put(bucket, "a", b"other")
    obstore.delete(bucket, "a")
    assert first + b"".join(bytes(piece) for piece in stream) == content
    wait_until(lambda: not storage.open_files())


def test_lists_of_many_pages(bucket: GCSStore) -> None:
    wanted = [f"day={day:02}/part-{part:03}" for day in range(25) for part in range(100)]

    async def fill() -> None:
        for at in range(0, len(wanted), 100):
            await asyncio.gather(*(obstore.put_async(bucket, name, b"x") for name in wanted[at : at + 100]))

    asyncio.run(fill())
    assert names(bucket) == wanted
    assert names(bucket, "day=07") == wanted[700:800]
    assert names(bucket, "day=0") == []  # obstore ends a prefix at a slash
    assert names(bucket, offset=wanted[1233]) == wanted[1234:]
    folded = obstore.list_with_delimiter(bucket)
    assert folded["common_prefixes"] == [f"day={day:02}" for day in range(25)]
    assert list(folded["objects"]) == []
    inside = obstore.list_with_delimiter(bucket, "day=03")
    assert [meta["path"] for meta in inside["objects"]] == wanted[300:400]
    obstore.delete(bucket, wanted[:200])
    assert names(bucket) == wanted[200:]


def test_a_list_says_of_each_object_what_head_says(bucket: GCSStore) -> None:
    obstore.put(bucket, "b", b"12345")
    obstore.put(bucket, "a/b/c", b"1")
    obstore.put(bucket, "a-", b"1")
    listed = {meta["path"]: meta for page in obstore.list(bucket) for meta in page}
    assert list(listed) == ["a-", "a/b/c", "b"]
    headed = obstore.head(bucket, "b")
    assert listed["b"]["size"] == 5
    assert listed["b"]["e_tag"] == headed["e_tag"]
    assert listed["b"]["last_modified"].replace(microsecond=0) == headed["last_modified"]
    folded = obstore.list_with_delimiter(bucket)
    assert folded["common_prefixes"] == ["a"]
    assert [meta["path"] for meta in folded["objects"]] == ["a-", "b"]


def test_deleting(bucket: GCSStore) -> None:
    for name in "abc":
        obstore.put(bucket, name, b"x")
    obstore.delete(bucket, "a")
    with pytest.raises(FileNotFoundError):
        obstore.delete(bucket, "a")
    obstore.delete(bucket, ["b", "c"])
    assert names(bucket) == []


def test_copying_keeps_content_and_attributes(storage: LocalStorage, bucket: GCSStore) -> None:
    obstore.put(bucket, "a b", b"first", attributes={"Content-Type": "text/csv", "k": "v"})
    obstore.copy(bucket, "a b", "c/d")
    copy = obstore.get(bucket, "c/d")
    assert bytes(copy.bytes()) == b"first"
    assert copy.attributes == {"Content-Type": "text/csv", "k": "v"}
    obstore.put(bucket, "a b", b"second")
    obstore.delete(bucket, "a b")
    assert bytes(obstore.get(bucket, "c/d").bytes()) == b"first"
    obstore.copy(bucket, "c/d", "c/d")
    assert bytes(obstore.get(bucket, "c/d").bytes()) == b"first"
    with pytest.raises(FileNotFoundError):
        obstore.copy(bucket, "absent", "x")
    files = storage.files()
    obstore.put(bucket, "other", b"other")
    with pytest.raises(AlreadyExistsError):
        obstore.copy(bucket, "c/d", "other", overwrite=False)
    assert bytes(obstore.get(bucket, "other").bytes()) == b"other"
    assert len(storage.files() - files) == 1


def test_renaming(bucket: GCSStore) -> None:
    obstore.put(bucket, "a", b"a")
    obstore.put(bucket, "b", b"b")
    with pytest.raises(AlreadyExistsError):
        obstore.rename(bucket, "a", "b", overwrite=False)
    assert names(bucket) == ["a", "b"]
    obstore.rename(bucket, "a", "c", overwrite=False)
    obstore.rename(bucket, "c", "b")
    assert names(bucket) == ["b"]
    assert bytes(obstore.get(bucket, "b").bytes()) == b"a"


def test_a_multipart_upload(storage: LocalStorage, bucket: GCSStore) -> None:
    before = storage.files()
    content = os.urandom(30_000_000)
    put = obstore.put(
        bucket, "large", content, attributes={"Content-Type": "text/plain", "k": "v"}, chunk_size=6_000_000
    )
    assert len(storage.files() - before) == 1
    got = obstore.get(bucket, "large")
    assert got.meta["e_tag"] == put["e_tag"]
    assert got.meta["version"] == put["version"]
    assert got.attributes == {"Content-Type": "text/plain", "k": "v"}
    assert bytes(got.bytes()) == content


def test_an_aborted_multipart_upload_leaves_nothing(storage: LocalStorage, bucket: GCSStore) -> None:
    obstore.put(bucket, "large", b"old")
    before = storage.files()

    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield os.urandom(6_000_000)
        wait_until(lambda: storage.files() > before)
        message = "the source broke"
        raise OSError(message)

    with pytest.raises(Exception, match="the source broke"):
        obstore.put(bucket, "large", pieces(), chunk_size=6_000_000)
    with obstore.open_writer(bucket, "empty"):
        pass
    obstore.delete(bucket, "empty")
    wait_until(lambda: storage.files() == before)
    database = storage.application.state.store.database
    assert database.execute("SELECT count(*) FROM upload").fetchone() == (0,)
    assert bytes(obstore.get(bucket, "large").bytes()) == b"old"


def test_what_is_stored_as_gzip_comes_unpacked_as_google_sends_it(storage: LocalStorage, bucket: GCSStore) -> None:
    packed = gzip.compress(b"line\n" * 1_000_000)
    obstore.put(bucket, "a", packed, attributes={"Content-Encoding": "gzip"})
    url = f"{storage.url}/{bucket.config['bucket']}/a"
    got = httpx.get(url, headers={"accept-encoding": "identity"})
    assert got.content == b"line\n" * 1_000_000
    assert "content-length" not in got.headers
    # Rust's client asks for no encoding, and needs a length: on the real service it cannot read such an object either.
    with pytest.raises(GenericError, match="Content-Length"):
        obstore.get(bucket, "a")
    keeping = {"Content-Encoding": "gzip", "Cache-Control": "no-transform"}
    obstore.put(bucket, "a", packed, attributes=keeping)
    assert bytes(obstore.get(bucket, "a").bytes()) == packed


def test_what_is_not_there(storage: LocalStorage, bucket: GCSStore) -> None:
    for call in (obstore.get, obstore.head, obstore.delete):
        with pytest.raises(FileNotFoundError):
            call(bucket, "absent")
    nowhere = storage.client("no-such-bucket")
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        obstore.put(nowhere, "a", b"x")
    with pytest.raises(FileNotFoundError, match="NoSuchBucket"):
        obstore.put(nowhere, "a", b"x" * 12_000_000)
    with pytest.raises(GenericError, match="NoSuchBucket"):
        names(nowhere)
    assert storage.files() == {
        row[0] for row in storage.application.state.store.database.execute("SELECT file FROM object")
    }


def test_a_passing_failure_is_retried_and_a_lasting_one_is_told(storage: LocalStorage, bucket: GCSStore) -> None:
    storage.fault("storage.objects.insert:503x2")
    obstore.put(bucket, "a", b"x" * 3_000_000)
    storage.fault("storage.objects.get:500x3")
    assert obstore.get(bucket, "a").meta["size"] == 3_000_000
    storage.fault("storage.objects:503x4")
    with pytest.raises(GenericError, match="503"):
        obstore.get(bucket, "a")
    storage.fault("storage.objects.insert:403x1")
    with pytest.raises(PermissionDeniedError):
        obstore.put(bucket, "b", b"x")
    assert names(bucket) == ["a"]


def test_credentials_are_looked_for_nowhere_else(
    storage: LocalStorage, bucket: GCSStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        host = "{}:{}".format(*trap.getsockname())
        for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"):
            monkeypatch.setenv(name, host)
        obstore.put(storage.client(bucket.config["bucket"]), "a", b"x")
        with pytest.raises(BlockingIOError):
            trap.accept()
        # The trap does catch the client that is given no account.
        monkeypatch.setenv("HOME", str(storage.accounts))
        options = {"timeout": "200ms", "allow_http": True}
        stray = GCSStore("b", client_options=options, retry_config={"max_retries": 0})
        with pytest.raises(Exception, match="token"):
            obstore.get(stray, "a")
        trap.accept()[0].close()


def test_a_killed_server_keeps_what_it_acknowledged_and_sweeps_the_rest(tmp_path: Path) -> None:
    port = free_port()
    acknowledged: dict[str, bytes] = {}
    with running(tmp_path, port) as (storage, process):
        assert httpx.put(f"{storage.url}/kept").status_code == 200
        store = storage.client("kept", retries=0)
        upload = httpx.post(f"{storage.url}/kept/half?uploads").text.split("UploadId>")[1].removesuffix("</")
        part = httpx.put(f"{storage.url}/kept/half?partNumber=1&uploadId={upload}", content=b"part").headers["etag"]
        stopped = threading.Event()

        def write(writer: int) -> None:
            number = 0
            while not stopped.is_set():
                name, content = f"{writer}/{number % 20}", os.urandom(50_000)
                try:
                    obstore.put(store, name, content)
                except obstore.exceptions.BaseError:
                    # It may have been written, or not: nobody was told.
                    acknowledged.pop(name, None)
                    return
                acknowledged[name] = content
                number += 1

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        wait_until(lambda: len(acknowledged) > 60)
        process.kill()
        process.wait()
        stopped.set()
        for writer in writers:
            writer.join()
    (storage.folder / "blobs" / "left-by-a-crash").write_bytes(b"x")
    with running(tmp_path, port) as (storage, _):
        store = storage.client("kept")
        for name, content in acknowledged.items():
            assert bytes(obstore.get(store, name).bytes()) == content
        assert len(storage.files()) == len(names(store)) + 1
        parts = f"<x><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></x>"
        assert httpx.post(f"{storage.url}/kept/half?uploadId={upload}", content=parts).status_code == 200
        assert bytes(obstore.get(store, "half").bytes()) == b"part"


def test_a_large_object_is_never_in_memory(tmp_path: Path) -> None:
    size = 200_000_000
    with running(tmp_path, free_port()) as (storage, process):
        httpx.put(f"{storage.url}/large")
        store = storage.client("large")
        obstore.put(store, "warm", b"x" * 10_000_000, use_multipart=False)
        obstore.get(store, "warm").bytes()
        before = peak(process.pid)
        obstore.put(store, "a", bytes(size), use_multipart=False)
        assert sum(len(piece) for piece in obstore.get(store, "a").stream()) == size
        obstore.put(store, "b", bytes(size), chunk_size=20_000_000)
        assert obstore.head(store, "b")["size"] == size
        grown = peak(process.pid) - before
        assert grown < 40_000_000, grown


def test_a_folder_belongs_to_one_sandbox(storage: LocalStorage) -> None:
    files = storage.files()
    with pytest.raises(SandboxError, match="another sandbox is using"):
        app(storage.folder)
    assert storage.files() == files


def peak(process: int) -> int:
    """The most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
