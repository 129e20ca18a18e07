"""What the Admin API refuses, as classes; each message names what it is about and what to do."""

from collections.abc import Mapping
from typing import Any

from runtime.cloudsql.models import Fault
from runtime.errors import HoldfastError

MESSAGE_LENGTH = 500


class CloudSqlError(HoldfastError):
    """The Admin API did not do what was asked.

    Attributes:
        status: of the HTTP answer; None when there was none.
        reason: Google's word for it, as `operationInProgress`; empty when it gave none.
        retry_after: seconds that the service asks to wait; None when it does not say.
        may_repeat: whether the same call may be sent again: it may succeed then, and cannot happen twice.
    """

    advice = "try again later"

    def __init__(
        self,
        about: str,
        what: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after: float | None = None,
        may_repeat: bool = False,
    ) -> None:
        super().__init__(f"{about}: {what.removesuffix('.')}; {self.advice}")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.may_repeat = may_repeat


class OperationInProgressError(CloudSqlError):
    """Another operation holds the instance; nothing was begun."""

    advice = "list the instance's operations, and try again when the running one has ended"


class StaleDataError(CloudSqlError):
    """The instance has changed since its settings' version was read; nothing was begun."""

    advice = "read the instance again, look at what changed, and send with its present settingsVersion"


class NotFoundOrForbiddenError(CloudSqlError):
    """It is missing, or these credentials may not see it: the service answers both alike."""

    advice = "check its name and project, and that this identity has roles/cloudsql.admin there"


class AlreadyExistsError(CloudSqlError):
    """The name is taken, maybe by an instance that was deleted less than a week ago."""

    advice = "choose another name; a deleted instance's name is free after a week"


class InvalidRequestError(CloudSqlError):
    """What was asked is wrong, or is not possible in the present state; nothing was begun."""

    advice = "correct it as the message says"


class QuotaExceededError(CloudSqlError):
    """Too many calls."""

    advice = "wait, or raise the quota of the Cloud SQL Admin API for the project"


class UnavailableError(CloudSqlError):
    """The service did not answer, or was not able to."""


class OutcomeUnknownError(UnavailableError):
    """The service was lost after a change was sent: it may have begun."""

    advice = "whether it began is not known: list the instance's operations before sending it again"


class CredentialsRefusedError(CloudSqlError):
    """There is no access token, or the service does not believe it."""

    advice = "check GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"


class UnexpectedAnswerError(CloudSqlError):
    """The answer is not one of the Admin API's; a change may have begun."""

    advice = "check CLOUD_SQL_ADMIN_ENDPOINT and what is between here and there; list operations after a change"


class OperationFailedError(CloudSqlError):
    """The operation ended in error.

    Attributes:
        operation: its name.
        errors: the causes, as the service gave them.
    """

    advice = "read the instance's state before trying again"

    def __init__(self, about: str, operation: str, errors: tuple[Fault, ...]) -> None:
        causes = ", ".join(f"{fault.code}: {fault.message}" if fault.message else fault.code for fault in errors)
        super().__init__(about, f"failed: {causes or 'without a cause'}", reason=errors[0].code if errors else "")
        self.operation = operation
        self.errors = errors


class OperationUnfinishedError(CloudSqlError):
    """The operation had not ended at the deadline; it goes on.

    Attributes:
        operation: its name, by which it can be waited for again.
    """

    advice = "it goes on: wait for it again by its name"

    def __init__(self, about: str, operation: str, what: str) -> None:
        super().__init__(about, what)
        self.operation = operation


class WaitCancelledError(OperationUnfinishedError):
    """The caller stopped waiting; the operation goes on."""


# The class, and whether the same call may be sent again.
BY_STATUS: dict[int, tuple[type[CloudSqlError], bool]] = {
    401: (CredentialsRefusedError, False),
    403: (NotFoundOrForbiddenError, False),
    404: (NotFoundOrForbiddenError, False),
    412: (StaleDataError, False),
    429: (QuotaExceededError, True),
    500: (UnavailableError, True),
    502: (UnavailableError, True),
    503: (UnavailableError, True),
    504: (UnavailableError, True),
}
BY_REASON: dict[tuple[int, str], tuple[type[CloudSqlError], bool]] = {
    (409, "operationInProgress"): (OperationInProgressError, True),
    # Google's older services say with a 403 that there were too many calls.
    (403, "rateLimitExceeded"): (QuotaExceededError, True),
    (403, "userRateLimitExceeded"): (QuotaExceededError, True),
    # For the rest of the day.
    (403, "quotaExceeded"): (QuotaExceededError, False),
    (403, "dailyLimitExceeded"): (QuotaExceededError, False),
    (429, "dailyLimitExceeded"): (QuotaExceededError, False),
}


def refusal(about: str, status: int, answer: object, *, retry_after: float | None, is_change: bool) -> CloudSqlError:
    """The error that an answer other than 2xx stands for.

    Args:
        about: what the call was about, as `instance orders`.
        status: of the answer.
        answer: its body, if that was JSON.
        retry_after: seconds that the service asks to wait.
        is_change: whether the call changes something, so that it must not happen twice.
    """
    detail = answer.get("error") if isinstance(answer, Mapping) else None
    is_googles = isinstance(detail, Mapping)
    reason, message = _reason(detail) if isinstance(detail, Mapping) else ("", "")
    message = message or f"HTTP {status}"
    kind, may_repeat = _kind(status, reason)
    # Only the service itself knows that it began nothing; a proxy on the way does not.
    if kind is UnavailableError and is_change and not (status == 503 and is_googles):  # noqa: PLR2004  # HTTP's
        kind, may_repeat = OutcomeUnknownError, False
    return kind(about, message, status=status, reason=reason, retry_after=retry_after, may_repeat=may_repeat)


def _kind(status: int, reason: str) -> tuple[type[CloudSqlError], bool]:
    if status == 409 and reason.lower().endswith("alreadyexists"):  # noqa: PLR2004  # HTTP's
        return AlreadyExistsError, False
    other = InvalidRequestError if 400 <= status < 600 else UnexpectedAnswerError  # noqa: PLR2004  # HTTP's
    return BY_REASON.get((status, reason)) or BY_STATUS.get(status) or (other, False)


def _reason(detail: Mapping[str, Any]) -> tuple[str, str]:
    errors = detail.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], Mapping) else {}
    reason = first.get("reason") or _newer_reason(detail) or detail.get("status") or ""
    message = detail.get("message") or first.get("message") or ""
    return str(reason), one_line(str(message))


def _newer_reason(detail: Mapping[str, Any]) -> object:
    # google.rpc.ErrorInfo, which some services send alone.
    details = detail.get("details")
    entries = details if isinstance(details, list) else []
    return next((entry["reason"] for entry in entries if isinstance(entry, Mapping) and entry.get("reason")), "")


def one_line(text: str) -> str:
    """As much of a stranger's text as fits a message."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LENGTH else f"{line[:MESSAGE_LENGTH]}…"
