"""Cloud Scheduler v1: jobs with HTTP targets. `run` really sends; nothing fires by itself."""

import base64
import binascii
import re
import secrets
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.applications import Starlette

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services import targets
from runbooks.sandbox.services.calls import Call, Document, ident, known_fields, seconds
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import absent, invalid, precondition
from runbooks.sandbox.services.issuer import Issuer
from runbooks.sandbox.services.resources import Resources
from runbooks.sandbox.services.rest import Handler, Rest, support
from runbooks.sandbox.services.schedule import check_schedule, check_time_zone
from runbooks.sandbox.store import Store

JOB = "cloudscheduler.job"
WRITABLE = ("description", "schedule", "timeZone", "httpTarget", "attemptDeadline", "retryConfig")
OUTPUT = ("name", "state", "status", "userUpdateTime", "scheduleTime", "lastAttemptTime", "satisfiesPzs")
TARGET = ("uri", "httpMethod", "headers", "body", "oidcToken", "oauthToken")
HTTP_METHODS = ("POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
WITH_BODY = ("POST", "PUT", "PATCH")
HEADER_NAME, HEADER_VALUE = r"[\w!#$%&'*+.^`|~-]+", r"[^\x00-\x1f\x7f]*"
SHORTEST, LONGEST, DEFAULT_DEADLINE = 15, 1800, "180s"
DEFAULT_RETRY = {
    "retryCount": 0,
    "maxRetryDuration": "0s",
    "minBackoffDuration": "5s",
    "maxBackoffDuration": "3600s",
    "maxDoublings": 5,
}
MOST_RETRIES = 5
STOP_SECONDS = 2.0

METHODS = support(
    full="""projects.locations.jobs.get projects.locations.jobs.list projects.locations.jobs.delete
        projects.locations.jobs.pause projects.locations.jobs.resume""",
    partial={
        "projects.locations.jobs.create": "HTTP targets and unix-cron only; a schedule does not fire by itself",
        "projects.locations.jobs.patch": "HTTP targets and unix-cron only; a schedule does not fire by itself",
        "projects.locations.jobs.run": "sends to loopback addresses only; maxRetryDuration is ignored",
    },
    without="""projects.locations.get projects.locations.list projects.locations.getCmekConfig
        projects.locations.updateCmekConfig projects.locations.operations.cancel projects.locations.operations.delete
        projects.locations.operations.get projects.locations.operations.list""",
)
IRREGULAR = {
    "projects.locations.cmekConfig.list": "projects.locations.getCmekConfig",
    "projects.locations.cmekConfig.patch": "projects.locations.updateCmekConfig",
}


class Scheduler:
    """Jobs in a store, and the attempts under way.

    Args:
        store: where jobs are kept.
        issuer: who signs OIDC tokens.
        addresses: what stands on this machine for an origin in the cloud.
    """

    def __init__(self, store: Store, issuer: Issuer, addresses: Mapping[str, str]) -> None:
        self._jobs = Resources(store, JOB, missing="Job not found.", taken="Job {name} already exists.", size=500)
        self._issuer = issuer
        self._addresses = addresses
        self.lock = threading.RLock()
        self._stopping = threading.Event()
        self._attempts: set[threading.Thread] = set()

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        return {
            "projects.locations.jobs.create": self.create,
            "projects.locations.jobs.get": self._jobs.get,
            "projects.locations.jobs.list": self._jobs.list_all,
            "projects.locations.jobs.patch": self.patch,
            "projects.locations.jobs.delete": self._jobs.delete,
            "projects.locations.jobs.pause": self.pause,
            "projects.locations.jobs.resume": self.resume,
            "projects.locations.jobs.run": self.run,
        }

    def create(self, call: Call) -> Document:
        """A job, enabled."""
        body = call.fields(WRITABLE, OUTPUT) if not _other_target(call.body) else {}
        name = call.body.get("name") or f"{call.name}/jobs/{secrets.randbelow(10**19)}"
        parent, _, own = str(name).rpartition("/jobs/")
        if parent != call.name:
            message = f'Job name must be formatted: "{call.name}/jobs/<JOB_ID>".'
            raise invalid(message)
        ident(own, "[A-Za-z0-9_-]{1,500}", "job name")
        self._jobs.refuse_taken(name)
        if not body.get("schedule"):
            message = "Schedule or time zone is invalid."
            raise invalid(message)
        body.setdefault("timeZone", "Etc/UTC")
        body.setdefault("attemptDeadline", DEFAULT_DEADLINE)
        body["retryConfig"] = DEFAULT_RETRY | body.get("retryConfig", {})
        return self._jobs.put({**_checked(body), "name": name, "state": "ENABLED", "userUpdateTime": now()})

    def patch(self, call: Call) -> Document:
        """Another schedule, target or deadline."""
        job = self._jobs.read(call.name)
        body = call.fields(WRITABLE, OUTPUT) if not _other_target(call.body) else {}
        for field in call.mask(WRITABLE, default=body):
            if field in body:
                job[field] = body[field]
            else:
                job.pop(field, None)
        job.setdefault("attemptDeadline", DEFAULT_DEADLINE)
        job["retryConfig"] = DEFAULT_RETRY | job.get("retryConfig", {})
        return self._jobs.put({**_checked(job), "userUpdateTime": now()})

    def pause(self, call: Call) -> Document:
        """Let it fire no more."""
        return self._turn(call, "ENABLED", "PAUSED")

    def resume(self, call: Call) -> Document:
        """Let it fire again."""
        return self._turn(call, "PAUSED", "ENABLED")

    def run(self, call: Call) -> Document:
        """Send the request now; the answer does not wait for the target's."""
        call.fields(())
        job = self._jobs.read(call.name)
        address = targets.local_address(job["httpTarget"]["uri"], self._addresses)
        job["lastAttemptTime"] = now()
        job.pop("status", None)
        self._jobs.put(job)
        thread = threading.Thread(target=self._attempt, args=(job, address), daemon=True, name="scheduler-attempt")
        self._attempts = {other for other in self._attempts if other.is_alive()} | {thread}
        thread.start()
        return job

    def stop(self) -> None:
        """Wait a little for attempts under way, and let no other begin."""
        self._stopping.set()
        for thread in self._attempts:
            thread.join(STOP_SECONDS)

    def _attempt(self, job: Document, address: str) -> None:
        retry = job["retryConfig"]
        pause, longest = seconds(retry["minBackoffDuration"], ""), seconds(retry["maxBackoffDuration"], "")
        for number in range(retry["retryCount"] + 1):
            if number and self._stopping.wait(min(pause * 2 ** min(number - 1, retry["maxDoublings"]), longest)):
                return
            # Written before it is sent, so that what the target sees is never ahead of the job.
            started = now()
            self._note(job["name"], {"lastAttemptTime": started}, None)
            status = targets.attempt(job, address, self._issuer, seconds(job["attemptDeadline"], ""))
            self._note(job["name"], {}, status)
            if not status:
                return

    def _note(self, name: str, fields: Document, status: Document | None) -> None:
        with self.lock:
            job = self._jobs.find(name)
            if job is None:
                return
            job |= fields
            if status is None:
                job.pop("status", None)
            else:
                job["status"] = status
            self._jobs.put(job)

    def _turn(self, call: Call, before: str, after: str) -> Document:
        call.fields(())
        job = self._jobs.read(call.name)
        if job["state"] != before:
            message = f"Job state must be {before} to be {'paused' if after == 'PAUSED' else 'resumed'}."
            raise precondition(message)
        return self._jobs.put({**job, "state": after})


def app(
    store: Store, issuer: Issuer, addresses: Mapping[str, str] | None = None, faults: Faults | None = None
) -> Starlette:
    """The service.

    Args:
        store: where jobs are kept.
        issuer: who signs OIDC tokens.
        addresses: what stands on this machine for an origin in the cloud, such as the Cloud Run API's.
        faults: those in force.
    """
    scheduler = Scheduler(store, issuer, addresses or {})
    rest = Rest("cloudscheduler", "v1", scheduler.handlers(), lock=scheduler.lock, irregular=IRREGULAR, faults=faults)
    return rest.app(stop=scheduler.stop)


def _other_target(body: Document) -> bool:
    for field in ("pubsubTarget", "appEngineHttpTarget"):
        if field in body:
            message = f"a job's {field}"
            raise absent(message)
    return False


def _checked(job: Document) -> Document:
    """The job with its target's defaults, seen to be one that Google would take."""
    check_schedule(job["schedule"])
    check_time_zone(job["timeZone"])
    if not SHORTEST <= seconds(job["attemptDeadline"], "attempt_deadline") <= LONGEST:
        message = f"Attempt deadline must be between {SHORTEST}s and {LONGEST}s."
        raise invalid(message)
    retry = known_fields(job["retryConfig"], tuple(DEFAULT_RETRY))
    for field in ("maxRetryDuration", "minBackoffDuration", "maxBackoffDuration"):
        seconds(retry[field], f"retry_config.{field}")
    if type(retry["retryCount"]) is not int or not 0 <= retry["retryCount"] <= MOST_RETRIES:
        message = f"RetryConfig.retry_count must be between 0 and {MOST_RETRIES}."
        raise invalid(message)
    if type(retry["maxDoublings"]) is not int or retry["maxDoublings"] < 0:
        message = "RetryConfig.max_doublings must not be negative."
        raise invalid(message)
    return {**job, "httpTarget": _checked_target(job.get("httpTarget"))}


def _checked_target(target: object) -> Document:
    if not isinstance(target, dict):
        message = "Job target must be set."
        raise invalid(message)
    target = {"httpMethod": "POST", **known_fields(target, TARGET)}
    parts = urlsplit(str(target.get("uri", "")))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = "HttpTarget.uri must begin with http:// or https:// and name a host."
        raise invalid(message)
    if target["httpMethod"] not in HTTP_METHODS:
        message = f"Invalid value at 'job.http_target.http_method', {target['httpMethod']!r}"
        raise invalid(message)
    if target.get("body") and target["httpMethod"] not in WITH_BODY:
        message = "HttpTarget.body is not allowed for this HTTP method."
        raise invalid(message)
    try:
        base64.b64decode(target.get("body", ""), validate=True)
    except (binascii.Error, ValueError, TypeError):
        message = "Invalid value at 'job.http_target.body' (TYPE_BYTES), Base64 decoding failed."
        raise invalid(message) from None
    _check_headers(target.get("headers", {}))
    if "oidcToken" in target and "oauthToken" in target:
        message = "HttpTarget has one authorization header: oidc_token or oauth_token."
        raise invalid(message)
    for field, other in (("oidcToken", "audience"), ("oauthToken", "scope")):
        if field in target and not known_fields(target[field], ("serviceAccountEmail", other)).get(
            "serviceAccountEmail"
        ):
            message = f"HttpTarget.{field} needs a service account's e-mail."
            raise invalid(message)
    return target


def _check_headers(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        if not re.fullmatch(HEADER_NAME, name) or not re.fullmatch(HEADER_VALUE, value):
            message = f"HttpTarget.headers: {name!r} is not a header that can be sent."
            raise invalid(message)
