"""An object as the store knows it, without its bytes."""

import base64
import datetime as dt
from dataclasses import dataclass
from email.utils import format_datetime


@dataclass(frozen=True)
class Entry:
    """One object.

    Attributes:
        name: as the client wrote it.
        file: where its bytes are; never derived from the name.
        generation: the moment of its creation in microseconds, and its version.
        size: bytes.
        md5: in hexadecimal; a multipart upload has none, as in Cloud Storage.
        headers: what the client stored with it: content type, encoding and so on, and its own metadata.
    """

    name: str
    file: str
    generation: int
    size: int
    md5: str | None
    headers: dict[str, str]

    @property
    def etag(self) -> str:
        """The MD5 where there is one, or else something opaque."""
        return f'"{self.md5}"' if self.md5 else f'"-{self.generation:x}"'

    @property
    def created(self) -> dt.datetime:
        """When it was written."""
        return dt.datetime.fromtimestamp(self.generation / 1_000_000, dt.UTC)

    def describe(self) -> dict[str, str]:
        """The headers that tell of the object, without those of its content."""
        return {
            "etag": self.etag,
            "last-modified": format_datetime(self.created, usegmt=True),
            "x-goog-generation": str(self.generation),
            "x-goog-metageneration": "1",
            "x-goog-storage-class": "STANDARD",
            "x-goog-stored-content-encoding": self.headers.get("content-encoding", "identity"),
            "x-goog-stored-content-length": str(self.size),
        } | hashes(self.md5)


def hashes(md5: str | None) -> dict[str, str]:
    """The checksum's header."""
    return {"x-goog-hash": f"md5={base64.b64encode(bytes.fromhex(md5)).decode()}"} if md5 else {}
