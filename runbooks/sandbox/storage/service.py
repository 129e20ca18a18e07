"""What each request does."""

import base64
import binascii
from urllib.parse import quote

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response

from runbooks.sandbox.storage import body, documents
from runbooks.sandbox.storage.conditions import Conditions
from runbooks.sandbox.storage.download import Download, is_gunzipped, read_range
from runbooks.sandbox.storage.entry import Entry, hashes
from runbooks.sandbox.storage.errors import Code, StorageError
from runbooks.sandbox.storage.names import split
from runbooks.sandbox.storage.store import Page, Store
from runbooks.sandbox.storage.uploads import MOST_PARTS, Upload, Uploads

XML = "application/xml; charset=UTF-8"
META = "x-goog-meta-"
# What the client stores with an object, besides its own metadata.
STORED = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type")
MOST_KEYS = 1000


class Service:
    """The operations on a store; `bucket` and `name` are those of the URL."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads = Uploads(store)

    async def create_bucket(self, _request: Request, bucket: str, _name: str) -> Response:
        """PUT a bucket."""
        if not await run_sync(self._store.create_bucket, bucket):
            raise StorageError(Code.BUCKET_ALREADY_OWNED_BY_YOU, bucket)
        return Response()

    async def head_bucket(self, _request: Request, bucket: str, _name: str) -> Response:
        """HEAD a bucket."""
        await run_sync(self._store.check_bucket, bucket)
        return Response()

    async def delete_bucket(self, _request: Request, bucket: str, _name: str) -> Response:
        """DELETE a bucket."""
        await run_sync(self._store.delete_bucket, bucket)
        return Response(status_code=204)

    async def list_objects(self, request: Request, bucket: str, _name: str) -> Response:
        """GET a bucket: a page of its objects."""
        query = request.query_params
        if query.get("list-type") != "2":
            raise StorageError(Code.NOT_IMPLEMENTED, "a listing without list-type=2")
        prefix, delimiter, after = query.get("prefix", ""), query.get("delimiter", ""), query.get("start-after")
        token = query.get("continuation-token")
        limit = min(_read_number(query.get("max-keys"), "max-keys", MOST_KEYS), MOST_KEYS)
        start = _read_token(token) if token else after.encode() + b"\0" if after else b""

        def page() -> Page:
            return self._store.page(bucket, prefix=prefix, delimiter=delimiter, start=start, limit=limit)

        found = await run_sync(page)
        about = {"Name": bucket, "Prefix": prefix}
        about |= {"Delimiter": delimiter} if delimiter else {}
        about |= {"StartAfter": after} if after else {}
        about |= {"ContinuationToken": token} if token else {}
        about |= {"NextContinuationToken": _write_token(found.following)} if found.following is not None else {}
        about |= {
            "KeyCount": str(len(found.entries) + len(found.prefixes)),
            "MaxKeys": str(limit),
            "IsTruncated": "false" if found.following is None else "true",
        }
        return _xml(documents.listing(about, found.entries, found.prefixes))

    async def get(self, request: Request, bucket: str, name: str) -> Response:
        """GET an object, or a range of it."""
        generation = _read_generation(request)
        conditions = Conditions.read(request.headers)
        entry, descriptor = await run_sync(self._store.open, bucket, name, conditions, generation)
        download = Download(descriptor)
        try:
            headers = entry.describe() | entry.headers
            if is_gunzipped(entry, request.headers):
                del headers["content-encoding"]
                download.unpack(entry.size, headers | {"warning": "214 UploadServer gunzipped"})
            elif asked := read_range(request.headers.get("range"), entry.size):
                span = f"bytes {asked[0]}-{asked[1] - 1}/{entry.size}"
                download.send(*asked, 206, headers | {"accept-ranges": "bytes", "content-range": span})
            else:
                download.send(0, entry.size, 200, headers | {"accept-ranges": "bytes"})
        except BaseException:
            download.close()
            raise
        return download

    async def head(self, request: Request, bucket: str, name: str) -> Response:
        """HEAD an object."""
        entry = await run_sync(self._store.get, bucket, name, _read_generation(request))
        Conditions.read(request.headers).check_read(entry)
        headers = {"accept-ranges": "bytes", "content-length": str(entry.size)}
        return Response(headers=entry.describe() | entry.headers | headers)

    async def put(self, request: Request, bucket: str, name: str) -> Response:
        """PUT an object."""
        conditions = Conditions.read(request.headers)
        content = await body.save(request, self._store.blobs)
        headers = _read_stored(request)
        entry = await run_sync(self._store.put, bucket, name, content, headers, conditions)
        return Response(headers=entry.describe())

    async def copy(self, request: Request, bucket: str, name: str) -> Response:
        """PUT an object from another one."""
        source = split(request.headers["x-goog-copy-source"])
        directive = request.headers.get("x-goog-metadata-directive", "COPY").upper()
        if directive not in {"COPY", "REPLACE"}:
            raise StorageError(Code.INVALID_ARGUMENT, "x-goog-metadata-directive is COPY or REPLACE")
        entry: Entry = await run_sync(
            self._store.copy,
            source,
            (bucket, name),
            _read_stored(request) if directive == "REPLACE" else None,
            Conditions.read_for_source(request.headers),
            Conditions.read(request.headers),
        )
        return _xml(documents.copied(entry), {"x-goog-generation": str(entry.generation)})

    async def delete(self, request: Request, bucket: str, name: str) -> Response:
        """DELETE an object."""
        conditions = Conditions.read(request.headers)
        await run_sync(self._store.delete, bucket, name, conditions, _read_generation(request))
        return Response(status_code=204)

    async def begin_upload(self, request: Request, bucket: str, name: str) -> Response:
        """POST an object's multipart upload."""
        upload = await run_sync(self._uploads.begin, bucket, name, _read_stored(request))
        return _xml(documents.initiated(bucket, name, upload))

    async def put_part(self, request: Request, bucket: str, name: str) -> Response:
        """PUT a part."""
        number = _read_number(request.query_params.get("partNumber"), "partNumber", 0)
        if not 1 <= number <= MOST_PARTS:
            raise StorageError(Code.INVALID_ARGUMENT, f"partNumber is between 1 and {MOST_PARTS}")
        content = await body.save(request, self._store.blobs)
        await run_sync(self._uploads.put_part, _read_upload(request, bucket, name), number, content)
        return Response(headers={"etag": f'"{content.md5}"'} | hashes(content.md5))

    async def complete_upload(self, request: Request, bucket: str, name: str) -> Response:
        """POST the list of the parts."""
        parts = documents.read_parts(await body.read(request))
        entry: Entry = await run_sync(self._uploads.complete, _read_upload(request, bucket, name), parts)
        root = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        location = f"{root}/{bucket}/{quote(name)}"
        headers = {"x-goog-generation": str(entry.generation), "x-goog-metageneration": "1"}
        return _xml(documents.completed(location, bucket, entry), headers)

    async def abort_upload(self, request: Request, bucket: str, name: str) -> Response:
        """DELETE a multipart upload."""
        await run_sync(self._uploads.abort, _read_upload(request, bucket, name))
        return Response(status_code=204)


def _xml(document: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(document, headers=headers, media_type=XML)


def _read_stored(request: Request) -> dict[str, str]:
    stored = {key: value for key, value in request.headers.items() if key in STORED or key.startswith(META)}
    return {"content-type": "application/octet-stream"} | stored


def _read_upload(request: Request, bucket: str, name: str) -> Upload:
    return Upload(bucket, name, request.query_params["uploadId"])


def _read_generation(request: Request) -> int | None:
    value = request.query_params.get("generation")
    return None if value is None else _read_number(value, "generation", 0)


def _read_number(value: str | None, name: str, default: int) -> int:
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004  (digits of 64 bits)
        raise StorageError(Code.INVALID_ARGUMENT, f"{name} is a number")
    return int(value)


def _write_token(start: bytes) -> str:
    return base64.urlsafe_b64encode(start).decode()


def _read_token(token: str) -> bytes:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise StorageError(Code.INVALID_ARGUMENT, "this continuation-token is none of ours") from None
