"""Cloud Storage's errors: code, status, message."""

from enum import Enum

from runbooks.sandbox.errors import SandboxError

RETRY_AFTER_SECONDS = 1


class Code(Enum):
    """Their names, with status and message."""

    NOT_MODIFIED = "NotModified", 304, "The resource has not been modified."
    BAD_DIGEST = "BadDigest", 400, "The Content-MD5 or x-goog-hash that was sent does not match what was received."
    ENTITY_TOO_SMALL = "EntityTooSmall", 400, "Every part but the last must have at least 5 MiB."
    INVALID_ARGUMENT = "InvalidArgument", 400, "Invalid argument."
    INVALID_BUCKET_NAME = "InvalidBucketName", 400, "The specified bucket is not valid."
    INVALID_PART = "InvalidPart", 400, "One or more of the specified parts could not be found, or has another ETag."
    INVALID_PART_ORDER = "InvalidPartOrder", 400, "The list of parts is not in ascending order."
    KEY_TOO_LONG = "KeyTooLong", 400, "The specified key is longer than 1,024 bytes."
    MALFORMED_XML = "MalformedXML", 400, "The XML is not well-formed or does not fit the request."
    AUTHENTICATION_REQUIRED = "AuthenticationRequired", 401, "Authentication required."
    ACCESS_DENIED = "AccessDenied", 403, "Access denied."
    NO_SUCH_BUCKET = "NoSuchBucket", 404, "The specified bucket does not exist."
    NO_SUCH_KEY = "NoSuchKey", 404, "The specified key does not exist."
    NO_SUCH_UPLOAD = "NoSuchUpload", 404, "The specified multipart upload does not exist."
    BUCKET_ALREADY_OWNED_BY_YOU = "BucketAlreadyOwnedByYou", 409, "You own a bucket of this name already."
    BUCKET_NOT_EMPTY = "BucketNotEmpty", 409, "The bucket you tried to delete is not empty."
    PRECONDITION_FAILED = "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold."
    INVALID_RANGE = "InvalidRange", 416, "The requested range cannot be satisfied."
    TOO_MANY_REQUESTS = "TooManyRequests", 429, "Please reduce your request rate."
    INTERNAL_ERROR = "InternalError", 500, "We encountered an internal error. Please try again."
    NOT_IMPLEMENTED = "NotImplemented", 501, "The sandbox does not have what was requested."
    SERVICE_UNAVAILABLE = "ServiceUnavailable", 503, "Service unavailable. Please try again."


class StorageError(SandboxError):
    """A refusal, as Cloud Storage words it.

    Attributes:
        code: its name.
        status: of HTTP.
        message: what is wrong.
        detail: what it is about.
        headers: what the answer says besides.
    """

    def __init__(self, code: Code, detail: str = "", headers: dict[str, str] | None = None) -> None:
        self.code, self.status, self.message = code.value
        self.detail = detail
        self.headers = dict(headers or {})
        if self.status in {429, 503}:
            self.headers["retry-after"] = str(RETRY_AFTER_SECONDS)
        super().__init__(f"{self.code}: {self.message} {detail}".rstrip())


def by_status(status: int) -> StorageError:
    """The usual error of a status, for faults."""
    usual = {404: Code.NO_SUCH_KEY}
    code = usual.get(status) or next((one for one in Code if one.value[1] == status), Code.INTERNAL_ERROR)
    error = StorageError(code, "injected")
    # Not every status has a name here.
    error.status = status
    return error
