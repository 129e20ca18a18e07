"""Multipart uploads: parts are kept beside the objects, and are nothing until the upload is completed."""

import json
import uuid
from dataclasses import dataclass

from runbooks.sandbox.storage.entry import Entry
from runbooks.sandbox.storage.errors import Code, StorageError
from runbooks.sandbox.storage.store import Content, Store

SMALLEST_PART = 5 << 20
MOST_PARTS = 10_000


@dataclass(frozen=True)
class Upload:
    """What a request names: an upload of one object."""

    bucket: str
    name: str
    id: str


class Uploads:
    """Those of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, bucket: str, name: str, headers: dict[str, str]) -> str:
        """Begin one.

        Returns:
            Its identifier.

        Raises:
            StorageError: there is no such bucket.
        """
        upload = uuid.uuid4().hex
        with self._store.transaction():
            self._store.check_bucket(bucket)
            self._store.database.execute(
                "INSERT INTO upload VALUES (?, ?, ?, ?)", (upload, bucket, name.encode(), json.dumps(headers))
            )
        return upload

    def put_part(self, upload: Upload, number: int, content: Content) -> None:
        """Add a part, or replace the one of that number; its bytes are removed when that is refused.

        Raises:
            StorageError: there is no such upload.
        """
        try:
            with self._store.transaction():
                self._headers(upload)
                replaced = self._store.database.execute(
                    "SELECT file FROM part WHERE upload = ? AND number = ?", (upload.id, number)
                ).fetchall()
                self._store.database.execute(
                    "INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?)",
                    (upload.id, number, content.file, content.size, content.md5),
                )
        except BaseException:
            self._store.blobs.remove([content.file])
            raise
        self._store.blobs.remove(file for (file,) in replaced)

    def complete(self, upload: Upload, named: list[tuple[int, str]]) -> Entry:
        """Make the named parts the object.

        Args:
            upload: which.
            named: the numbers and ETags of the parts.

        Raises:
            StorageError: there is no such upload or part, or they do not make an object.
        """
        files = self._check(upload, named)
        try:
            # Not inside the transaction: others go on while a large object is written.
            joined = self._store.blobs.join(files)
        except FileNotFoundError:
            raise StorageError(Code.INVALID_PART, "a part was replaced or the upload was ended meanwhile") from None
        content = Content(joined.file, joined.size, None)
        try:
            with self._store.transaction():
                headers = self._headers(upload)
                replaced = self._store.find(upload.bucket, upload.name)
                entry = self._store.insert(upload.bucket, upload.name, content, headers)
                parts = self._end(upload)
        except BaseException:
            self._store.blobs.remove([content.file])
            raise
        self._store.blobs.remove([*parts, *([replaced.file] if replaced else [])])
        return entry

    def abort(self, upload: Upload) -> None:
        """Leave nothing of it.

        Raises:
            StorageError: there is no such upload.
        """
        with self._store.transaction():
            self._headers(upload)
            parts = self._end(upload)
        self._store.blobs.remove(parts)

    def _check(self, upload: Upload, named: list[tuple[int, str]]) -> list[str]:
        with self._store.lock:
            self._headers(upload)
            rows = self._store.database.execute(
                "SELECT number, file, size, md5 FROM part WHERE upload = ?", (upload.id,)
            )
            there = {number: (file, size, md5) for number, file, size, md5 in rows}
        numbers = [number for number, _ in named]
        if numbers != sorted(set(numbers)):
            raise StorageError(Code.INVALID_PART_ORDER)
        for number, etag in named:
            if number not in there or there[number][2] != etag:
                raise StorageError(Code.INVALID_PART, f"part {number}")
        if any(there[number][1] < SMALLEST_PART for number in numbers[:-1]):
            raise StorageError(Code.ENTITY_TOO_SMALL)
        return [there[number][0] for number in numbers]

    def _headers(self, upload: Upload) -> dict[str, str]:
        row = self._store.database.execute(
            "SELECT headers FROM upload WHERE id = ? AND bucket = ? AND name = ?",
            (upload.id, upload.bucket, upload.name.encode()),
        ).fetchone()
        if not row:
            raise StorageError(Code.NO_SUCH_UPLOAD, upload.id)
        headers: dict[str, str] = json.loads(row[0])
        return headers

    def _end(self, upload: Upload) -> list[str]:
        parts = self._store.database.execute("SELECT file FROM part WHERE upload = ?", (upload.id,)).fetchall()
        self._store.database.execute("DELETE FROM upload WHERE id = ?", (upload.id,))
        return [file for (file,) in parts]
