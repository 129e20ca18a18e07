"""Databases of an instance."""

from typing import Any

from runtime.cloudsql.models import DatabaseOf, Operation
from runtime.cloudsql.transport import Transport


class Databases:
    """The calls on `databases`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def insert(self, instance: str, name: str, *, charset: str = "UTF8", collation: str | None = None) -> Operation:
        """Make one."""
        body = _body(name, charset, collation)
        return self._send("POST", instance, name, body=body)

    def list(self, instance: str) -> list[DatabaseOf]:
        """Read all."""
        return self._transport.items(DatabaseOf, "instances", instance, "databases", about=f"instance {instance}")

    def update(
        self, instance: str, name: str, *, charset: str | None = None, collation: str | None = None
    ) -> Operation:
        """Change one, as far as the service allows."""
        return self._send("PUT", instance, name, name, body=_body(name, charset, collation))

    def delete(self, instance: str, name: str) -> Operation:
        """Delete one and all that is in it."""
        return self._send("DELETE", instance, name, name)

    def _send(
        self, method: str, instance: str, name: str, *segments: str, body: dict[str, Any] | None = None
    ) -> Operation:
        return self._transport.read(
            Operation,
            method,
            *("instances", instance, "databases", *segments),
            about=f"database {name} of instance {instance}",
            body=body,
        )


def _body(name: str, charset: str | None, collation: str | None) -> dict[str, Any]:
    values = {"name": name, "charset": charset, "collation": collation}
    return {key: value for key, value in values.items() if value is not None}
