"""Cloud Storage's operations by the names of Google's own API, which has none for multipart `uploads`."""

from runbooks.sandbox.services.rest import support

METHODS = support(
    full="""objects.get objects.insert objects.copy objects.delete
        uploads.initiate uploads.uploadPart uploads.complete uploads.abort buckets.get buckets.delete""",
    partial={
        "buckets.insert": "location and class are ignored",
        "objects.list": "the second version (`list-type=2`)",
    },
    without="""buckets.list buckets.patch objects.compose objects.patch objects.restore uploads.list
        uploads.listParts objectAccessControls.list""",
)
# By the HTTP method and what the request is on.
NAMES = {
    ("PUT", "bucket"): "buckets.insert",
    ("HEAD", "bucket"): "buckets.get",
    ("DELETE", "bucket"): "buckets.delete",
    ("GET", "bucket"): "objects.list",
    ("GET", "object"): "objects.get",
    ("HEAD", "object"): "objects.get",
    ("PUT", "object"): "objects.insert",
    ("PUT", "copy"): "objects.copy",
    ("DELETE", "object"): "objects.delete",
    ("POST", "uploads"): "uploads.initiate",
    ("PUT", "uploadId"): "uploads.uploadPart",
    ("POST", "uploadId"): "uploads.complete",
    ("DELETE", "uploadId"): "uploads.abort",
}
