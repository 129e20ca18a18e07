"""Cloud Storage's XML API as it looks on the wire, for other clients than obstore."""

import base64
import hashlib
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import httpx
import pytest

from runbooks.sandbox.storage.methods import METHODS, NAMES
from tests.runbooks.sandbox.services.google_services import methods
from tests.runbooks.sandbox.storages import LocalStorage, serving

LIST = "{http://doc.s3.amazonaws.com/2006-03-01}"
MULTIPART = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStorage]:
    with serving(tmp_path_factory.mktemp("storage")) as running:
        yield running


@pytest.fixture
def http(storage: LocalStorage, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client whose addresses begin in a bucket of this test."""
    url = f"{storage.url}/b{abs(hash(request.node.name)):x}"
    with httpx.Client(base_url=url) as client:
        assert httpx.put(url).status_code == 200
        yield client


def parse(document: bytes) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314  (our own server's)


def refused(response: httpx.Response, status: int, code: str) -> str:
    """The details of a refusal that is this one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/xml; charset=UTF-8"
    error = parse(response.content)
    assert error.tag == "Error"
    assert error.findtext("Code") == code
    assert error.findtext("Message")
    return error.findtext("Details") or ""


def test_the_headers_of_an_object(http: httpx.Client) -> None:
    digest = hashlib.md5(b"content", usedforsecurity=False)
    checksum = "md5=" + base64.b64encode(digest.digest()).decode()
    put = http.put("/a", content=b"content", headers={"x-goog-meta-owner": "me", "x-goog-hash": checksum})
    assert put.status_code == 200
    assert put.content == b""
    for response in (http.get("/a"), http.head("/a"), put):
        headers = response.headers
        assert headers["etag"] == f'"{digest.hexdigest()}"'
        assert headers["x-goog-generation"] == put.headers["x-goog-generation"]
        assert headers["x-goog-metageneration"] == "1"
        assert headers["x-goog-hash"] == checksum
        assert headers["x-goog-stored-content-length"] == "7"
        assert headers["last-modified"].endswith(" GMT")
    head = http.head("/a")
    assert head.headers["content-length"] == "7"
    assert head.headers["x-goog-meta-owner"] == "me"
    assert head.headers["content-type"] == "application/octet-stream"
    part = http.get("/a", headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"nte", "bytes 2-4/7")


def test_errors_are_googles_documents(storage: LocalStorage, http: httpx.Client) -> None:
    http.put("/a", content=b"content")
    assert "No such object" in refused(http.get("/absent"), 404, "NoSuchKey")
    refused(http.delete("/absent"), 404, "NoSuchKey")
    refused(httpx.get(f"{storage.url}/nowhere/a"), 404, "NoSuchBucket")
    refused(httpx.put(f"{storage.url}/nowhere/a", content=b"x" * 3_000_000), 404, "NoSuchBucket")
    refused(http.put("/a", content=b"", headers={"x-goog-if-generation-match": "0"}), 412, "PreconditionFailed")
    refused(http.get("/a", headers={"x-goog-if-generation-match": "1"}), 412, "PreconditionFailed")
    refused(http.delete("/a", headers={"x-goog-if-metageneration-match": "2"}), 412, "PreconditionFailed")
    refused(http.put("/a", content=b"", headers={"x-goog-if-generation-match": "soon"}), 400, "InvalidArgument")
    refused(
        http.put("/a", content=b"x", headers={"content-md5": base64.b64encode(bytes(16)).decode()}), 400, "BadDigest"
    )
    refused(http.put("/a", content=b"x", headers={"x-goog-hash": "md5=!"}), 400, "InvalidArgument")
    refused(http.put("/" + "x" * 1025, content=b"x"), 400, "KeyTooLong")
    beyond = http.get("/a", headers={"range": "bytes=7-"})
    refused(beyond, 416, "InvalidRange")
    assert beyond.headers["content-range"] == "bytes */7"
    unchanged = http.get("/a", headers={"if-none-match": http.head("/a").headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert http.get("/a").content == b"content"
    assert len(storage.files()) == count(storage)


def count(storage: LocalStorage) -> int:
    (number,) = storage.application.state.store.database.execute("SELECT count(*) FROM object").fetchone()
    assert isinstance(number, int)
    return number


@pytest.mark.parametrize(
    ("method", "path", "headers", "named"),
    [
        ("GET", "?acl", {}, "acl"),
        ("GET", "", {}, "list-type=2"),
        ("GET", "?uploads", {}, "uploads"),
        ("POST", "?delete", {}, "POST on bucket"),
        ("POST", "/a", {}, "POST on object"),
        ("PUT", "/a?compose", {}, "compose"),
        ("GET", "/a?X-Goog-Signature=x", {}, "X-Goog-Signature"),
        ("GET", "/a?uploadId=x", {}, "GET on uploadId"),
        ("PUT", "/a", {"x-goog-acl": "public-read"}, "x-goog-acl"),
        ("PUT", "/a", {"x-goog-encryption-key": "x"}, "x-goog-encryption-key"),
        ("PUT", "/a", {"if-none-match": "*"}, "if-none-match"),
        ("PUT", "/a", {"x-goog-hash": "crc32c=AAAAAA=="}, "crc32c"),
        ("POST", "/a?uploads", {"x-goog-if-generation-match": "0"}, "x-goog-if-generation-match"),
    ],
)
def test_what_is_absent_is_refused_by_name_and_does_nothing(
    http: httpx.Client, method: str, path: str, headers: dict[str, str], named: str
) -> None:
    url = f"{str(http.base_url).rstrip('/')}{path}"
    assert named in refused(http.request(method, url, headers=headers), 501, "NotImplemented")
    assert http.get("/a").status_code == 404


@pytest.mark.parametrize("name", ["..", ".", "a%00b", "a%0Ab", "%FF", "a%1Fb"])
def test_names_that_cannot_be_are_refused(http: httpx.Client, name: str) -> None:
    url = f"{str(http.base_url).rstrip('/')}/{name.replace('.', '%2E')}"
    refused(http.put(url, content=b"x"), 400, "InvalidArgument")


@pytest.mark.parametrize(
    "name", ["../../../etc/x", "../storage/objects.sqlite", "/absolute", "a//b", "a/", "a/./b", "%2F%2e"]
)
def test_names_that_obstore_would_not_send_stay_names_too(http: httpx.Client, name: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    url = f"{str(http.base_url).rstrip('/')}/{encoded}"
    assert http.put(url, content=name.encode()).status_code == 200
    assert http.get(url).content == name.encode()
    assert [key.text for key in parse(http.get("?list-type=2").content).iter(f"{LIST}Key")] == [name]


def test_the_pages_of_a_listing(http: httpx.Client) -> None:
    for name in ("a", "b/1", "b/2", "b&", "c", "d/1"):
        http.put(f"/{name}", content=b"12345")
    asked = {"list-type": "2", "max-keys": "2", "delimiter": "/"}
    pages = []
    token: str | None = None
    for _ in range(3):
        page = parse(http.get("", params=asked).content)
        keys = [text.text for text in page.iterfind(f"{LIST}Contents/{LIST}Key")]
        folded = [text.text for text in page.iterfind(f"{LIST}CommonPrefixes/{LIST}Prefix")]
        assert page.findtext(f"{LIST}KeyCount") == str(len(keys) + len(folded))
        pages.append((keys, folded))
        token = page.findtext(f"{LIST}NextContinuationToken")
        assert page.findtext(f"{LIST}IsTruncated") == ("true" if token else "false")
        asked["continuation-token"] = token or ""
    assert token is None
    assert pages == [(["a", "b&"], []), (["c"], ["b/"]), ([], ["d/"])]
    content = parse(http.get("", params={"list-type": "2", "prefix": "b/1"}).content).find(f"{LIST}Contents")
    assert content is not None
    assert content.findtext(f"{LIST}Size") == "5"
    assert content.findtext(f"{LIST}ETag") == http.head("/b/1").headers["etag"]
    assert content.findtext(f"{LIST}Generation") == http.head("/b/1").headers["x-goog-generation"]
    after = http.get("", params={"list-type": "2", "delimiter": "/", "start-after": "b/1"})
    assert [text.text for text in parse(after.content).iter(f"{LIST}Prefix")] == [None, "b/", "d/"]
    for wrong in ({"continuation-token": "?"}, {"max-keys": "many"}):
        refused(http.get("", params={"list-type": "2"} | wrong), 400, "InvalidArgument")


def test_a_multipart_upload_by_hand(http: httpx.Client) -> None:
    started = parse(http.post("/a?uploads", headers={"content-type": "text/plain"}).content)
    assert started.tag == f"{MULTIPART}InitiateMultipartUploadResult"
    upload = started.findtext(f"{MULTIPART}UploadId")
    large, small = b"x" * (5 << 20), b"y"
    second = http.put("/a", params={"partNumber": "2", "uploadId": upload}, content=small).headers["etag"]
    http.put("/a", params={"partNumber": "1", "uploadId": upload}, content=b"to be replaced")
    first = http.put("/a", params={"partNumber": "1", "uploadId": upload}, content=large).headers["etag"]

    def complete(*parts: tuple[int, str], at: str = "/a", of: str | None = upload) -> httpx.Response:
        items = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
        document = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>"
        return http.post(at, params={"uploadId": of or ""}, content=document)

    refused(complete((2, second), (1, first)), 400, "InvalidPartOrder")
    refused(complete((1, second), (2, second)), 400, "InvalidPart")
    refused(complete((1, first), (3, second)), 400, "InvalidPart")
    refused(complete(), 400, "MalformedXML")
    refused(http.post("/a", params={"uploadId": upload or ""}, content="<"), 400, "MalformedXML")
    refused(
        http.post("/a", params={"uploadId": upload or ""}, content='<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
        400,
        "MalformedXML",
    )
    refused(complete((1, first), at="/other"), 404, "NoSuchUpload")
    refused(complete((1, first), of="none"), 404, "NoSuchUpload")
    refused(http.put("/a", params={"partNumber": "10001", "uploadId": upload}, content=b""), 400, "InvalidArgument")
    refused(http.get("/a"), 404, "NoSuchKey")

    done = complete((1, first), (2, second))
    assert done.status_code == 200
    result = parse(done.content)
    assert result.tag == f"{MULTIPART}CompleteMultipartUploadResult"
    got = http.get("/a")
    assert got.content == large + small
    assert got.headers["etag"] == result.findtext(f"{MULTIPART}ETag")
    assert got.headers["x-goog-generation"] == done.headers["x-goog-generation"]
    assert got.headers["content-type"] == "text/plain"
    assert "x-goog-hash" not in got.headers
    refused(complete((1, first), (2, second)), 404, "NoSuchUpload")


def test_small_parts_are_refused_except_the_last(http: httpx.Client) -> None:
    upload = parse(http.post("/a?uploads").content).findtext(f"{MULTIPART}UploadId") or ""
    etags = [http.put("/a", params={"partNumber": n, "uploadId": upload}, content=b"x").headers["etag"] for n in (1, 2)]
    items = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(etags, 1))
    refused(http.post("/a", params={"uploadId": upload}, content=f"<x>{items}</x>"), 400, "EntityTooSmall")
    assert http.delete("/a", params={"uploadId": upload}).status_code == 204
    refused(http.delete("/a", params={"uploadId": upload}), 404, "NoSuchUpload")


def test_copies_with_conditions_on_the_source(storage: LocalStorage, http: httpx.Client) -> None:
    bucket = http.base_url.path.strip("/")
    http.put("/a", content=b"x", headers={"x-goog-meta-k": "old"})
    generation = http.head("/a").headers["x-goog-generation"]
    source = {"x-goog-copy-source": f"{bucket}/a"}
    matched = http.put("/b", headers=source | {"x-goog-copy-source-if-generation-match": generation})
    assert parse(matched.content).findtext("ETag") == http.head("/b").headers["etag"]
    assert http.head("/b").headers["x-goog-meta-k"] == "old"
    for condition in ({"x-goog-copy-source-if-generation-match": "1"}, {"x-goog-copy-source-if-none-match": "*"}):
        refused(http.put("/c", headers=source | condition), 412, "PreconditionFailed")
    replaced = {"x-goog-metadata-directive": "REPLACE", "x-goog-meta-k": "new", "content-type": "text/csv"}
    assert http.put("/b", headers=source | replaced).status_code == 200
    assert http.head("/b").headers["x-goog-meta-k"] == "new"
    other = f"{storage.url}/other-{bucket}"
    httpx.put(other)
    assert httpx.put(f"{other}/a", headers=source).status_code == 200
    assert httpx.get(f"{other}/a").content == b"x"
    refused(http.put("/c", headers={"x-goog-copy-source": "nowhere/a"}), 404, "NoSuchBucket")
    refused(http.get("/c"), 404, "NoSuchKey")


def test_the_life_of_a_bucket(storage: LocalStorage, http: httpx.Client) -> None:
    url = str(http.base_url).rstrip("/")
    refused(httpx.put(url), 409, "BucketAlreadyOwnedByYou")
    assert httpx.head(url).status_code == 200
    httpx.put(f"{url}/a", content=b"x")
    refused(httpx.delete(url), 409, "BucketNotEmpty")
    httpx.delete(f"{url}/a")
    assert httpx.delete(url).status_code == 204
    assert httpx.head(url).status_code == 404
    refused(httpx.delete(url), 404, "NoSuchBucket")
    for name in ("UPPER", "a", "-a-", "%2E%2E", "a b c"):
        refused(httpx.put(f"{storage.url}/{name}"), 400, "InvalidBucketName")


def test_each_request_has_a_name_of_googles() -> None:
    assert set(NAMES.values()) == {name for name, how in METHODS.items() if how != "absent"}
    assert {name for name in METHODS if not name.startswith("uploads.")} <= set(methods("storage.v1"))


def test_an_injected_failure_says_when_to_come_back(storage: LocalStorage, http: httpx.Client) -> None:
    storage.fault("storage.objects.insert:503x1")
    failed = http.put("/a", content=b"x" * 3_000_000)
    assert refused(failed, 503, "ServiceUnavailable") == "injected"
    assert failed.headers["retry-after"] == "1"
    assert http.put("/a", content=b"x").status_code == 200


def test_a_client_that_leaves_in_the_middle_leaves_nothing(storage: LocalStorage, http: httpx.Client) -> None:
    before = storage.files()

    def pieces() -> Iterator[bytes]:
        yield b"x" * 2_000_000
        message = "gone"
        raise OSError(message)

    with pytest.raises(OSError, match="gone"):
        http.put("/a", content=pieces(), headers={"content-length": "9000000"})
    http.close()
    with httpx.Client() as other:
        refused(other.get(f"{http.base_url}a"), 404, "NoSuchKey")
    assert storage.files() == before
