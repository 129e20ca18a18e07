"""The HTTP request of a Scheduler job. It goes to this machine or nowhere."""

import base64
import ipaddress
import secrets
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from runbooks.sandbox.services.calls import Document
from runbooks.sandbox.services.errors import CODES, code_of, precondition
from runbooks.sandbox.services.issuer import Issuer

REPLACED = ("host", "content-length", "user-agent", "authorization")
REPLACED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudscheduler")
MOST_READ = 1_000_000


def local_address(uri: str, addresses: Mapping[str, str]) -> str:
    """Where a target is on this machine.

    Args:
        uri: the target's.
        addresses: what stands here for an origin in the cloud: `https://run.googleapis.com` → `http://127.0.0.1:9000`.

    Raises:
        ServiceError: it is elsewhere.
    """
    parts = urlsplit(uri)
    origin = f"{parts.scheme}://{parts.netloc}"
    address = addresses.get(origin, origin).rstrip("/") + uri[len(origin) :]
    try:
        # As the one who sends reads it, not as another parser does.
        host = httpx.URL(address).host
    except httpx.InvalidURL:
        host = ""
    if not _is_loopback(host):
        message = f"The sandbox sends nothing to {origin}: only loopback addresses are called, by number."
        raise precondition(message)
    return address


def attempt(job: Document, address: str, issuer: Issuer, seconds: float) -> Document:
    """Send the request once.

    Args:
        job: a Scheduler job with an HTTP target.
        address: where to.
        issuer: who signs the OIDC token.
        seconds: the deadline, from connecting to the answer's end.

    Returns:
        The status as the job keeps it, empty for success.
    """
    target = job["httpTarget"]
    answers: list[Document] = []

    def send() -> None:
        answers.append(_send(target, address, _headers(job, target, issuer), seconds))

    # httpx's deadlines are each for one read or write, and a target that drips would never end.
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else {"code": CODES["DEADLINE_EXCEEDED"][1], "message": "DEADLINE_EXCEEDED"}


def _send(target: Document, address: str, headers: Mapping[str, str], seconds: float) -> Document:
    body = base64.b64decode(target.get("body", ""))
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    try:
        # No proxy and no .netrc of the environment; a redirect would be a way off this machine.
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=seconds) as client,
            client.stream(target["httpMethod"], address, content=body or None, headers=encoded) as answer,
        ):
            read = 0
            for chunk in answer.iter_raw():
                read += len(chunk)
                if read > MOST_READ:
                    break
    except httpx.TimeoutException:
        return {"code": CODES["DEADLINE_EXCEEDED"][1], "message": "DEADLINE_EXCEEDED"}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"code": CODES["UNAVAILABLE"][1], "message": f"UNAVAILABLE: {type(error).__name__}"}
    if answer.is_success:
        return {}
    code = code_of(answer.status_code)
    return {"code": CODES[code][1], "message": f"{code}: HTTP status code {answer.status_code}"}


def _headers(job: Document, target: Document, issuer: Issuer) -> dict[str, str]:
    given = {
        name: value
        for name, value in target.get("headers", {}).items()
        if name.lower() not in REPLACED and not name.lower().startswith(REPLACED_PREFIXES)
    }
    if target.get("body") and not any(name.lower() == "content-type" for name in given):
        given["Content-Type"] = "application/octet-stream"
    given |= {
        "User-Agent": "Google-Cloud-Scheduler",
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": job["name"].rpartition("/")[2],
        "X-CloudScheduler-ScheduleTime": job["lastAttemptTime"],
    }
    if oidc := target.get("oidcToken"):
        token = issuer.token(
            email=oidc["serviceAccountEmail"], audience=oidc.get("audience") or target["uri"].partition("?")[0]
        )
        given["Authorization"] = f"Bearer {token}"
    elif target.get("oauthToken"):
        # Nobody verifies an access token here, so it says nothing.
        given["Authorization"] = f"Bearer ya29.sandbox-{secrets.token_urlsafe(24)}"
    return given


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name could be made to lead anywhere.
        return False
