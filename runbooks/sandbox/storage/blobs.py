"""The bytes of objects and parts: files with random names, written once and never changed."""

import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

# Bytes in memory for each request that is under way.
CHUNK = 256 << 10


class Writer:
    """A new file; nobody knows its name until it is finished."""

    def __init__(self, path: Path) -> None:
        self.file = path.name
        self.size = 0
        self._path = path
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    @property
    def md5(self) -> str:
        """Of what was written, in hexadecimal."""
        return self._md5.hexdigest()

    def write(self, data: bytes) -> None:
        """Append."""
        self._md5.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def finish(self) -> None:
        """Bring it to the disk."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Leave nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._path.unlink(missing_ok=True)


class Blobs:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder

    def create(self) -> Writer:
        """Begin a file."""
        return Writer(self._new())

    def join(self, files: Iterable[str]) -> Writer:
        """Write a file of the content of others, one after the other.

        Raises:
            FileNotFoundError: one of them is gone.
        """
        writer = self.create()
        try:
            for file in files:
                with (self._folder / file).open("rb") as part:
                    while data := part.read(CHUNK):
                        writer.write(data)
            writer.finish()
        except BaseException:
            writer.discard()
            raise
        return writer

    def copy(self, file: str) -> str:
        """Make the same content available under another name; both share the disk's blocks, as neither changes."""
        path = self._new()
        path.hardlink_to(self._folder / file)
        _sync_folder(self._folder)
        return path.name

    def open(self, file: str) -> int:
        """Open for reading.

        Returns:
            The file descriptor, which outlives the file's removal.
        """
        return os.open(self._folder / file, os.O_RDONLY)

    def remove(self, files: Iterable[str]) -> None:
        """Forget them."""
        for file in files:
            (self._folder / file).unlink(missing_ok=True)

    def sweep(self, keep: set[str]) -> None:
        """Remove what a crash left."""
        self.remove(path.name for path in list(self._folder.iterdir()) if path.name not in keep)

    def _new(self) -> Path:
        return self._folder / uuid.uuid4().hex


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
