"""Buckets and objects: what is there is in SQLite, the bytes are in files beside it; both survive SIGKILL."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.storage.blobs import Blobs
from runbooks.sandbox.storage.conditions import Conditions
from runbooks.sandbox.storage.entry import Entry
from runbooks.sandbox.storage.errors import Code, StorageError
from runbooks.sandbox.storage.names import check_bucket

# Names are bytes, so that they are listed in the order of UTF-8, as Cloud Storage does.
SCHEMA = """
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL REFERENCES bucket,
    name BLOB NOT NULL,
    file TEXT NOT NULL,
    generation INTEGER NOT NULL,
    size INTEGER NOT NULL,
    md5 TEXT,
    headers TEXT NOT NULL,
    PRIMARY KEY (bucket, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upload (
    id TEXT PRIMARY KEY,
    bucket TEXT NOT NULL REFERENCES bucket,
    name BLOB NOT NULL,
    headers TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS part (
    upload TEXT NOT NULL REFERENCES upload ON DELETE CASCADE,
    number INTEGER NOT NULL,
    file TEXT NOT NULL,
    size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (last INTEGER NOT NULL);
INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
"""
OBJECT = "SELECT name, file, generation, size, md5, headers FROM object"
# Above every name: no UTF-8 text has this byte.
END = b"\xff"

Row = tuple[bytes, str, int, int, str | None, str]


@dataclass(frozen=True)
class Content:
    """Bytes that are on the disk already, for a new object."""

    file: str
    size: int
    md5: str | None


@dataclass(frozen=True)
class Page:
    """Part of a listing, and where the next one begins."""

    entries: list[Entry]
    prefixes: list[str]
    following: bytes | None


class Store:
    """Everything in one folder. Any thread may call; what is written is on the disk when that returns."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, or make it.

        Raises:
            SandboxError: another process has it open.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.database = sqlite3.connect(
            folder / "objects.sqlite", timeout=0, check_same_thread=False, isolation_level=None
        )
        try:
            # A second process would sweep away what this one is writing.
            self.database.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                f"PRAGMA foreign_keys = ON; {SCHEMA}"
            )
        except sqlite3.OperationalError as error:
            self.database.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            message = f"another sandbox is using the storage folder {folder}; stop it, or choose another folder"
            raise SandboxError(message) from None
        self.blobs = Blobs(folder / "blobs")
        known = self.database.execute("SELECT file FROM object UNION ALL SELECT file FROM part")
        self.blobs.sweep({file for (file,) in known})

    def close(self) -> None:
        """Let another process open the folder."""
        with self.lock:
            self.database.close()

    def create_bucket(self, name: str) -> bool:
        """Make a bucket.

        Returns:
            Whether it is new.

        Raises:
            StorageError: no bucket may have this name.
        """
        check_bucket(name)
        with self.transaction():
            return self.database.execute("INSERT OR IGNORE INTO bucket VALUES (?)", (name,)).rowcount == 1

    def check_bucket(self, name: str) -> None:
        """See that a bucket is there.

        Raises:
            StorageError: it is not.
        """
        with self.lock:
            if not self.database.execute("SELECT 1 FROM bucket WHERE name = ?", (name,)).fetchone():
                raise StorageError(Code.NO_SUCH_BUCKET, name)

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket.

        Raises:
            StorageError: it is not there, or not empty.
        """
        with self.transaction():
            self.check_bucket(name)
            try:
                self.database.execute("DELETE FROM bucket WHERE name = ?", (name,))
            except sqlite3.IntegrityError:
                raise StorageError(Code.BUCKET_NOT_EMPTY, name) from None

    def get(self, bucket: str, name: str, generation: int | None = None) -> Entry:
        """One object.

        Raises:
            StorageError: it, or its bucket, is not there.
        """
        with self.lock:
            self.check_bucket(bucket)
            entry = self.find(bucket, name)
            if not entry or generation not in {None, entry.generation}:
                raise StorageError(Code.NO_SUCH_KEY, f"No such object: {bucket}/{name}")
            return entry

    def open(self, bucket: str, name: str, conditions: Conditions, generation: int | None = None) -> tuple[Entry, int]:
        """One object and a file descriptor on its bytes, which a later write or deletion does not touch.

        Raises:
            StorageError: it is not there, or is not what the client wants.
        """
        with self.lock:
            entry = self.get(bucket, name, generation)
            conditions.check_read(entry)
            return entry, self.blobs.open(entry.file)

    def put(self, bucket: str, name: str, content: Content, headers: dict[str, str], conditions: Conditions) -> Entry:
        """Make these bytes the object, at once; they are removed when that is refused.

        Raises:
            StorageError: a precondition does not hold, or there is no such bucket.
        """
        try:
            with self.transaction():
                self.check_bucket(bucket)
                replaced = self.find(bucket, name)
                conditions.check_write(replaced)
                entry = self.insert(bucket, name, content, headers)
        except BaseException:
            self.blobs.remove([content.file])
            raise
        if replaced:
            self.blobs.remove([replaced.file])
        return entry

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        headers: dict[str, str] | None,
        of_source: Conditions,
        of_target: Conditions,
    ) -> Entry:
        """Copy an object, with its headers or with others.

        Raises:
            StorageError: a precondition does not hold, or there is no such object or bucket.
        """
        with self.lock:
            entry = self.get(*source)
            of_source.check_source(entry)
            content = Content(self.blobs.copy(entry.file), entry.size, entry.md5)
            return self.put(*target, content, entry.headers if headers is None else headers, of_target)

    def delete(self, bucket: str, name: str, conditions: Conditions, generation: int | None = None) -> None:
        """Delete an object.

        Raises:
            StorageError: a precondition does not hold, or there is no such object or bucket.
        """
        with self.transaction():
            entry = self.get(bucket, name, generation)
            conditions.check_write(entry)
            self.database.execute("DELETE FROM object WHERE bucket = ? AND name = ?", (bucket, name.encode()))
        self.blobs.remove([entry.file])

    def page(self, bucket: str, *, prefix: str, delimiter: str, start: bytes, limit: int) -> Page:
        """Objects in the order of their names, those beyond a delimiter folded into one prefix.

        Args:
            bucket: where.
            prefix: of the names.
            delimiter: folds what has it after the prefix; nothing folds when it is empty.
            start: where to begin: the first name that may be listed.
            limit: of objects and prefixes together.

        Raises:
            StorageError: there is no such bucket.
        """
        self.check_bucket(bucket)
        head, mark = prefix.encode(), delimiter.encode()
        entries: list[Entry] = []
        prefixes: list[str] = []
        lower, upper = max(head, start), _after(head) if head else END
        while True:
            room = limit - len(entries) - len(prefixes)
            for row in self._range(bucket, lower, upper, room + 1):
                if len(entries) + len(prefixes) == limit:
                    return Page(entries, prefixes, lower)
                cut = row[0].find(mark, len(head)) if mark else -1
                if cut >= 0:
                    folded = row[0][: cut + len(mark)]
                    prefixes.append(folded.decode())
                    lower = _after(folded)
                    break
                entries.append(_entry(row))
                lower = row[0] + b"\0"
            else:
                return Page(entries, prefixes, None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, one at a time."""
        with self.lock:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.database.execute("COMMIT")
            except BaseException:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    def find(self, bucket: str, name: str) -> Entry | None:
        """One object, if it is there."""
        row = self.database.execute(f"{OBJECT} WHERE bucket = ? AND name = ?", (bucket, name.encode())).fetchone()
        return _entry(row) if row else None

    def insert(self, bucket: str, name: str, content: Content, headers: dict[str, str]) -> Entry:
        """Write an object's row, over the one that is there; inside a transaction."""
        # Generations only grow, whatever the clock does.
        (generation,) = self.database.execute(
            "UPDATE clock SET last = max(last + 1, ?) RETURNING last", (time.time_ns() // 1000,)
        ).fetchone()
        entry = Entry(name, content.file, generation, content.size, content.md5, headers)
        self.database.execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?)",
            (bucket, name.encode(), content.file, generation, content.size, content.md5, json.dumps(headers)),
        )
        return entry

    def _range(self, bucket: str, lower: bytes, upper: bytes, limit: int) -> list[Row]:
        with self.lock:
            return self.database.execute(
                f"{OBJECT} WHERE bucket = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?",
                (bucket, lower, upper, limit),
            ).fetchall()


def _entry(row: Row) -> Entry:
    name, file, generation, size, md5, headers = row
    return Entry(name.decode(), file, generation, size, md5, json.loads(headers))


def _after(prefix: bytes) -> bytes:
    """The first text that does not begin so."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
