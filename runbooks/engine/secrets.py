"""Secret Manager, as far as procedures need it. What is secret is never written anywhere."""

from google.cloud import secretmanager_v1
from pydantic import SecretStr

from runbooks.engine.cloud import ERRORS, options, why
from runbooks.engine.errors import FailedError
from runbooks.engine.permissions import Permissions

SECONDS = 30.0


class Secrets:
    """One project's secrets.

    Args:
        endpoint: if it is not Google's.
        permissions: what may be done now.
    """

    def __init__(self, endpoint: str | None, permissions: Permissions) -> None:
        self._client = secretmanager_v1.SecretManagerServiceClient(**options(endpoint))
        self._permissions = permissions

    def close(self) -> None:
        """Close its connections."""
        self._client.transport.close()  # type: ignore[no-untyped-call]  # Google's client leaves it untyped

    def newest(self, secret: str) -> SecretStr:
        """The newest version's text.

        Args:
            secret: as `projects/p/secrets/s`.

        Raises:
            FailedError: SECRET_UNREADABLE.
        """
        try:
            answer = self._client.access_secret_version(name=f"{secret}/versions/latest", timeout=SECONDS)
        except ERRORS as error:
            raise _unreadable(secret, error) from None
        return SecretStr(answer.payload.data.decode())

    def add(self, secret: str, text: SecretStr) -> str:
        """Add a version.

        Returns:
            Its name, as `projects/p/secrets/s/versions/3`.

        Raises:
            FailedError: SECRET_UNWRITTEN; the message has not the text.
        """
        self._permissions.require("secretmanager.versions.add")
        payload = secretmanager_v1.SecretPayload(data=text.get_secret_value().encode())
        try:
            return self._client.add_secret_version(parent=secret, payload=payload, timeout=SECONDS).name
        except ERRORS as error:
            code = "SECRET_UNWRITTEN"
            message = f"{secret}: {why(error)}"
            raise FailedError(code, message) from None

    def versions(self, secret: str) -> list[str]:
        """The names of the versions that can be read, newest first.

        Raises:
            FailedError: SECRET_UNREADABLE.
        """
        try:
            listed = self._client.list_secret_versions(parent=secret, timeout=SECONDS)
            enabled = secretmanager_v1.SecretVersion.State.ENABLED
            return [version.name for version in listed if version.state == enabled]
        except ERRORS as error:
            raise _unreadable(secret, error) from None

    def disable(self, version: str) -> None:
        """Let a version be read no more; it can be enabled again.

        Raises:
            FailedError: SECRET_UNWRITTEN.
        """
        self._permissions.require("secretmanager.versions.disable")
        try:
            self._client.disable_secret_version(name=version, timeout=SECONDS)
        except ERRORS as error:
            code = "SECRET_UNWRITTEN"
            message = f"{version}: {why(error)}"
            raise FailedError(code, message) from None


def _unreadable(secret: str, error: Exception) -> FailedError:
    code = "SECRET_UNREADABLE"
    message = f"{secret}: {why(error)}; check its name, and roles/secretmanager.secretAccessor"
    return FailedError(code, message)
