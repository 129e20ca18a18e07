"""Cloud Storage's XML API over a folder, as far as obstore (Rust's object_store) and its like use it.

Full: objects put, read, headed, deleted and copied, within a bucket and between buckets; preconditions on generation,
metageneration, ETag and date, on the object and on a copy's source (of concurrent writers, one wins); one range of
bytes; listings of the second version with prefix, delimiter, start-after and pages of up to 1,000; multipart uploads,
begun, filled in any order, completed and aborted; content headers and the client's own metadata; generations that only
grow; MD5 checksums, sent and checked; buckets made, headed and deleted; objects stored with Content-Encoding gzip come
unpacked to a client that does not accept gzip, without a length and without ranges; errors as Google's documents.

Partial: nobody is asked who they are; what the creation of a bucket says in its body (location, class) is ignored;
names with control characters are refused, since XML cannot carry them; only the current generation is kept, and
metageneration is always 1; of several ranges, the whole is sent, as HTTP allows.

Absent, answered 501 by name where it is asked for: CRC32C, listings of the first version, the lists of buckets, of
multipart uploads and of parts, deletion of many in one request, compose, ACLs, policies, signed URLs, encryption keys,
object holds and retention, storage classes, preconditions on multipart uploads, resumable uploads. Versioning, soft
delete and lifecycle do not happen.

An object is a file with a random name; what it is called, and everything else about it, is in SQLite. A write is first
on the disk and then known, in one transaction; what a crash leaves unknown is swept away at the next start. Names never
become paths.
"""

from runbooks.sandbox.storage.app import app
from runbooks.sandbox.storage.credentials import service_account, write_service_account

__all__ = ["app", "service_account", "write_service_account"]
