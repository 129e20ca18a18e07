"""The client of one project's Cloud SQL instances."""

import copy
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.oauth2.credentials import Credentials as Token

from runtime.cloudsql.backup_runs import BackupRuns
from runtime.cloudsql.databases import Databases
from runtime.cloudsql.errors import CredentialsRefusedError
from runtime.cloudsql.instances import Instances
from runtime.cloudsql.operations import Operations
from runtime.cloudsql.transport import Permit, Transport, authorized
from runtime.cloudsql.users import Users
from runtime.db.tokens import ADMIN_SCOPE
from runtime.errors import ConfigurationError
from runtime.platform.providers import is_trustworthy

ENDPOINT = "https://sqladmin.googleapis.com"
# An instance's other operation, as its nightly backup, mostly ends within it.
PATIENCE_SECONDS = 600.0
REQUEST_SECONDS = 30.0
# Google's API wants a token, and so do those that stand in for it.
ANONYMOUS = "anonymous-on-this-machine"


def credentials_for(endpoint: str | None) -> Credentials:
    """The credentials that belong to an address.

    Args:
        endpoint: None for Google's. Plain http, which is for this machine only, gets a token without worth, and none
            other is looked for.

    Raises:
        CredentialsRefusedError: there are none.
    """
    if endpoint is not None and _is_local(endpoint):
        return Token(ANONYMOUS)  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    try:
        credentials: Credentials = google.auth.default([ADMIN_SCOPE])[0]
    except DefaultCredentialsError:
        about, what = "Cloud SQL Admin API", "no credentials found"
        raise CredentialsRefusedError(about, what) from None
    return credentials


class CloudSqlAdmin:
    """The Admin API v1 for one project. Its calls block; it is for jobs and procedures.

    Args:
        project: whose instances.
        credentials: always said, so that none are ever looked for behind the caller's back: `credentials_for`.
        endpoint: the service's address, if it is not Google's.
        patience: seconds during which a call is sent again after 409 operationInProgress, 429 or 503.
        request_timeout: seconds that the service may be silent during one request.
        permit: is given HTTP's method and the path of each call before it is sent, and raises if it may not be.

    Raises:
        ConfigurationError: the address would give the access token away.
    """

    def __init__(
        self,
        project: str,
        *,
        credentials: Credentials,
        endpoint: str | None = None,
        patience: float = PATIENCE_SECONDS,
        request_timeout: float = REQUEST_SECONDS,
        permit: Permit | None = None,
    ) -> None:
        endpoint = endpoint or ENDPOINT
        if not is_trustworthy(endpoint):
            message = "CLOUD_SQL_ADMIN_ENDPOINT: write https://HOST; http:// is for loopback addresses only"
            raise ConfigurationError(message)
        self._session = authorized(credentials, is_local=_is_local(endpoint))
        self._use(
            Transport(
                endpoint,
                project,
                self._session,
                patience=patience,
                request_timeout=request_timeout,
                permit=permit,
            )
        )

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self.instances = Instances(transport)
        self.backup_runs = BackupRuns(transport)
        self.users = Users(transport)
        self.databases = Databases(transport)
        self.operations = Operations(transport)
        self.wait = self.operations.wait

    @property
    def project(self) -> str:
        """Whose instances."""
        return self._transport.project

    def within(self, patience: float) -> "CloudSqlAdmin":
        """The same client with other patience; 0 sends each call once."""
        other = copy.copy(self)
        other._use(self._transport.within(patience))  # noqa: SLF001  # its own class
        return other

    def close(self) -> None:
        """Close its connections."""
        self._session.close()  # type: ignore[no-untyped-call]  # google-auth leaves it untyped

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_local(endpoint: str) -> bool:
    # The only plain http that is let through.
    return urlsplit(endpoint).scheme == "http"
