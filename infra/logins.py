"""What logins are called, and which group each is in."""

from collections.abc import Iterable

# Groups of the runtime, which the migrate job makes (runtime/db/roles.py); tests/contract holds the names together.
OWNER, APP, JOBS, READONLY = "holdfast_owner", "holdfast_app", "holdfast_jobs", "holdfast_readonly"
OPERATOR = "holdfast_operator"
MIGRATOR = "holdfast_migrator"
VERIFIER = "holdfast_verifier"
READERS = ("holdfast_reader_a", "holdfast_reader_b")
# By the word before the colon of an IAM member.
IAM_TYPES = {
    "user": "CLOUD_IAM_USER",
    "group": "CLOUD_IAM_GROUP",
    "serviceAccount": "CLOUD_IAM_SERVICE_ACCOUNT",
}
SERVICE_ACCOUNT = ".gserviceaccount.com"


def iam_user(member: str) -> tuple[str, str]:
    """The name in the database and the type of an IAM member, as group:oncall@example.com."""
    kind, _, email = member.partition(":")
    # PostgreSQL's name: https://cloud.google.com/sql/docs/postgres/add-manage-iam-users, as of 2026-11.
    return email.lower().removesuffix(SERVICE_ACCOUNT), IAM_TYPES[kind]


def role_members(pairs: Iterable[tuple[str, str]]) -> str:
    """DB_ROLE_MEMBERS: which login is put into which group."""
    return ",".join(f"{role}={user}" for role, user in pairs)
