"""The XML that is read and written."""

from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from runbooks.sandbox.storage.entry import Entry
from runbooks.sandbox.storage.errors import Code, StorageError

LIST_NAMESPACE = "http://doc.s3.amazonaws.com/2006-03-01"
MULTIPART_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def error(problem: StorageError) -> bytes:
    """A refusal."""
    return _document("Error", {"Code": problem.code, "Message": problem.message, "Details": problem.detail})


def listing(about: dict[str, str], entries: list[Entry], prefixes: list[str]) -> bytes:
    """A page of objects; obstore reads only documents in which all objects stand together, and all prefixes."""
    root = _root("ListBucketResult", about, LIST_NAMESPACE)
    for entry in entries:
        fields = {
            "Key": entry.name,
            "Generation": str(entry.generation),
            "MetaGeneration": "1",
            "LastModified": moment(entry),
            "ETag": entry.etag,
            "Size": str(entry.size),
        }
        _fill(SubElement(root, "Contents"), fields)
    for prefix in prefixes:
        _fill(SubElement(root, "CommonPrefixes"), {"Prefix": prefix})
    return _bytes(root)


def copied(entry: Entry) -> bytes:
    """The answer to a copy."""
    return _document("CopyObjectResult", {"LastModified": moment(entry), "ETag": entry.etag})


def initiated(bucket: str, name: str, upload: str) -> bytes:
    """The answer to the beginning of a multipart upload."""
    about = {"Bucket": bucket, "Key": name, "UploadId": upload}
    return _document("InitiateMultipartUploadResult", about, MULTIPART_NAMESPACE)


def completed(location: str, bucket: str, entry: Entry) -> bytes:
    """The answer to the end of a multipart upload."""
    about = {"Location": location, "Bucket": bucket, "Key": entry.name, "ETag": entry.etag}
    return _document("CompleteMultipartUploadResult", about, MULTIPART_NAMESPACE)


def read_parts(body: bytes) -> list[tuple[int, str]]:
    """The numbers and ETags of the parts that a multipart upload is made of.

    Raises:
        StorageError: this is no such list.
    """
    # Entities are declared in a document type, which no client of Cloud Storage sends.
    if b"<!" in body:
        raise StorageError(Code.MALFORMED_XML, "a document type is not taken")
    try:
        root = ET.fromstring(body)  # noqa: S314  (without a document type there is nothing to expand)
        parts = [
            (int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag", "").strip().strip('"'))
            for part in root.iterfind("{*}Part")
        ]
    except (ET.ParseError, ValueError):
        raise StorageError(Code.MALFORMED_XML) from None
    if not parts:
        raise StorageError(Code.MALFORMED_XML, "no parts are named")
    return parts


def moment(entry: Entry) -> str:
    """When it was written, to the millisecond."""
    return entry.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _document(tag: str, fields: dict[str, str], namespace: str = "") -> bytes:
    return _bytes(_root(tag, fields, namespace))


def _root(tag: str, fields: dict[str, str], namespace: str) -> Element:
    root = Element(tag, {"xmlns": namespace} if namespace else {})
    _fill(root, fields)
    return root


def _fill(element: Element, fields: dict[str, str]) -> None:
    for tag, text in fields.items():
        SubElement(element, tag).text = text


def _bytes(root: Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document
