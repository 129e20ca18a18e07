"""What a URL names: a bucket, or an object in one."""

import re
from urllib.parse import unquote_to_bytes

from runbooks.sandbox.storage.errors import Code, StorageError

LONGEST = 1024  # bytes
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Cloud Storage forbids line ends; the others are those that a listing in XML cannot carry.
FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\ufffe\uffff]")


def split(path: bytes | str) -> tuple[str, str]:
    """Read the bucket and the object from a percent-encoded path; the object is empty where only a bucket is named.

    Raises:
        StorageError: the object's name is not one that Cloud Storage takes.
    """
    bucket, _, name = unquote_to_bytes(path).removeprefix(b"/").partition(b"/")
    try:
        names = bucket.decode(), name.decode()
    except UnicodeDecodeError:
        raise StorageError(Code.INVALID_ARGUMENT, "names are UTF-8") from None
    if len(name) > LONGEST:
        raise StorageError(Code.KEY_TOO_LONG)
    if names[1] in {".", ".."} or FORBIDDEN.search(names[1]):
        raise StorageError(Code.INVALID_ARGUMENT, "an object's name is not . or .., and has no control characters")
    return names


def check_bucket(name: str) -> None:
    """See that a bucket may have this name.

    Raises:
        StorageError: it may not.
    """
    if not BUCKET.fullmatch(name):
        raise StorageError(Code.INVALID_BUCKET_NAME, name)
