"""How long secrets have been overdue for rotation, by Secret Manager's REST API.

Its reminder is sent when a rotation falls due, and the next one is a whole period later: nobody is told again that a
secret was not replaced. Its newest enabled version tells.
"""

import datetime as dt
from urllib.parse import urlsplit

import google.auth
import requests
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials as Token
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from runtime.cloudsql.client import ANONYMOUS
from runtime.cloudsql.transport import authorized
from runtime.errors import HoldfastError

ENDPOINT = "https://secretmanager.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SECONDS = 10.0


class SecretManagerError(HoldfastError):
    """Secret Manager did not say what was asked."""


class _Version(BaseModel):
    created: AwareDatetime = Field(alias="createTime")


class _Versions(BaseModel):
    # Newest first, says the API.
    versions: list[_Version] = []


def overdue(
    project: str, secret: str, *, period: dt.timedelta, now: dt.datetime, endpoint: str | None = None
) -> dt.timedelta:
    """How much older than its period a secret's newest enabled version is; zero if it is not.

    Args:
        project: whose secret.
        secret: its id.
        period: after which it is to be replaced.
        now: the moment.
        endpoint: None for Google's. Plain http, which is for this machine only, gets a token without worth.

    Raises:
        SecretManagerError: it is not known.
    """
    is_local = endpoint is not None and urlsplit(endpoint).scheme == "http"
    session = authorized(_credentials(is_local=is_local), is_local=is_local)
    try:
        newest = _newest(session, f"{endpoint or ENDPOINT}/v1/projects/{project}/secrets/{secret}/versions", secret)
    finally:
        session.close()  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    return max(dt.timedelta(0), now - newest - period)


def _newest(session: AuthorizedSession, url: str, secret: str) -> dt.datetime:
    about = f"secret {secret}"
    try:
        response = session.request(  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
            "GET", url, params={"filter": "state:ENABLED"}, timeout=SECONDS, allow_redirects=False
        )
    except (requests.RequestException, GoogleAuthError) as error:
        message = f"{about}: Secret Manager does not answer ({type(error).__name__}); try again later"
        raise SecretManagerError(message) from None
    if response.status_code != requests.codes.ok:
        message = (
            f"{about}: Secret Manager answers {response.status_code}; see that it is there, and that this identity "
            "may list its versions"
        )
        raise SecretManagerError(message)
    try:
        versions = _Versions.model_validate_json(response.content).versions
    except ValidationError:
        message = f"{about}: the answer is none of Secret Manager's; check SECRET_MANAGER_ENDPOINT"
        raise SecretManagerError(message) from None
    if not versions:
        message = f"{about}: no version is enabled; add one"
        raise SecretManagerError(message)
    return max(version.created for version in versions)


def _credentials(*, is_local: bool) -> Credentials:
    if is_local:
        return Token(ANONYMOUS)  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    try:
        credentials: Credentials = google.auth.default([SCOPE])[0]
    except GoogleAuthError:
        message = "Secret Manager: no credentials found; check GOOGLE_APPLICATION_CREDENTIALS"
        raise SecretManagerError(message) from None
    return credentials
