"""Users of an instance."""

from typing import Any

from pydantic import SecretStr

from runtime.cloudsql.models import Operation, User, UserType
from runtime.cloudsql.transport import Query, Transport


class Users:
    """The calls on `users`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def insert(
        self, instance: str, name: str, *, kind: UserType = "BUILT_IN", password: SecretStr | None = None
    ) -> Operation:
        """Make one.

        Args:
            instance: whose.
            name: a service account's without `.gserviceaccount.com`.
            kind: BUILT_IN has a password, the others are Google's identities.
            password: of a BUILT_IN one.
        """
        body: dict[str, Any] = {"name": name, "type": kind}
        if password is not None:
            body["password"] = password.get_secret_value()
        return self._send("POST", instance, name, body=body)

    def list(self, instance: str) -> list[User]:
        """Read all."""
        return self._transport.items(User, "instances", instance, "users", about=f"instance {instance}")

    def update(self, instance: str, name: str, *, password: SecretStr) -> Operation:
        """Give one another password."""
        body = {"name": name, "password": password.get_secret_value()}
        return self._send("PUT", instance, name, query={"name": name}, body=body)

    def delete(self, instance: str, name: str) -> Operation:
        """Delete one; it fails while the user owns objects."""
        return self._send("DELETE", instance, name, query={"name": name})

    def _send(
        self, method: str, instance: str, name: str, *, query: Query | None = None, body: dict[str, Any] | None = None
    ) -> Operation:
        return self._transport.read(
            Operation,
            method,
            *("instances", instance, "users"),
            about=f"user {name} of instance {instance}",
            query=query,
            body=body,
        )
