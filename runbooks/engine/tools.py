"""The services and the database of a target, behind the permissions of the step that runs."""

import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # it is a class
from pydantic import SecretStr

from runbooks.connect import socks
from runbooks.engine.errors import FailedError, RunbookError
from runbooks.engine.permissions import Permissions
from runbooks.engine.secrets import Secrets
from runbooks.engine.target import Connector, Proxy, Target
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from runtime.cloudsql.models import Instance
from runtime.errors import first_line

if TYPE_CHECKING:
    from runtime.db.dial import Opener
    from runtime.db.gateway import Gateway

POSTGRES_PORT = 5432
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 600
# Whoever asked may be dead; what he asked for ends then, before the resume asks for it again.
ALIVE = "1s"
OPTIONS = f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=10s -c client_connection_check_interval={ALIVE}"
# An instance that says nothing for so long is gone: procedures measure how long nobody could write.
SILENCE_SECONDS = 4
# Encrypted, and the server is the instance: its own authority is asked of the Admin API.
TLS = {"sslmode": "verify-ca"}


class Tools:
    """One target's services. What is not used is never asked for credentials."""

    def __init__(self, target: Target, permissions: Permissions) -> None:
        self.target = target
        self.permissions = permissions
        self._certificates = tempfile.TemporaryDirectory(prefix="holdfast-ca-")
        self._gateways: dict[str, Gateway] = {}
        self._making = threading.Lock()

    @cached_property
    def admin(self) -> CloudSqlAdmin:
        """The Cloud SQL Admin API."""
        endpoint = self.target.endpoints.sql
        return CloudSqlAdmin(
            self.target.project,
            credentials=credentials_for(endpoint),
            endpoint=endpoint,
            permit=self.permissions.of_admin_api,
        )

    @cached_property
    def secrets(self) -> Secrets:
        """Secret Manager."""
        return Secrets(self.target.endpoints.secretmanager, self.permissions)

    def close(self) -> None:
        """Close connections and remove what was written for them."""
        if "admin" in self.__dict__:
            self.admin.close()
        if "secrets" in self.__dict__:
            self.secrets.close()
        while self._gateways:
            self._gateways.popitem()[1].close()
        self._certificates.cleanup()

    @contextmanager
    def connect(
        self,
        instance: str | None = None,
        *,
        database: str | None = None,
        user: str | None = None,
        password: SecretStr | None = None,
        seconds: int = CONNECT_SECONDS,
    ) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction; read-only unless the step may write.

        Args:
            instance: by default the target's.
            database: by default the target's.
            user: by default the operator's login.
            password: by default the operator's, from Secret Manager.
            seconds: until the server has to answer.

        Raises:
            psycopg2.Error: the server does not answer, or lets nobody in.
            RunbookError: the password or the address cannot be had.
        """
        operator = self.target.operator
        opened = psycopg2.connect(
            **self.place(self.admin.instances.get(instance or self.target.instance)),
            dbname=database or self.target.database,
            user=user or operator.user,
            password=(password or self.secrets.newest(operator.secret)).get_secret_value(),
            connect_timeout=seconds,
            application_name="holdfast-runbook",
            options=OPTIONS,
        )
        try:
            may_write = any(
                self.permissions.allows(change) for change in ("database.write", "database.define", "database.drop")
            )
            opened.set_session(autocommit=True, readonly=not may_write)
            yield opened
        finally:
            opened.close()

    def query(
        self,
        statement: str,
        *parameters: object,
        instance: str | None = None,
        database: str | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the operator's login.

        Returns:
            Its rows; none for a statement that has none.

        Raises:
            FailedError: DATABASE_UNREACHABLE or STATEMENT_FAILED.
        """
        try:
            with self.connect(instance, database=database) as opened, opened.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.OperationalError as error:
            code = "DATABASE_UNREACHABLE"
            message = f"{instance or self.target.instance}: {first_line(error)}"
            raise FailedError(code, message) from None
        except psycopg2.Error as error:
            code = "STATEMENT_FAILED"
            message = f"{instance or self.target.instance}: {first_line(error)}"
            raise FailedError(code, message) from None

    def place(self, instance: Instance) -> dict[str, Any]:
        """Where an instance is reached, and how its certificate is believed, in libpq's words.

        Raises:
            RunbookError: it has no address.
        """
        connection = self.target.connection
        if isinstance(connection, Proxy) and instance.name == self.target.instance:
            # The proxy itself encrypts.
            return {"host": connection.host, "port": connection.port, "sslmode": "disable"}
        if self.is_by_connector(instance):
            return self.by_connector(instance.connection_name, "psc" if instance.has_endpoints else "private")
        host, port = self.address(instance)
        return {"host": host, "port": port, **TLS, "sslrootcert": str(self._authority(instance))}

    def is_by_connector(self, instance: Instance) -> bool:
        """Whether an instance is reached by Google's connector: the target says so, or there is no other way."""
        if isinstance(self.target.connection, Proxy) and instance.name == self.target.instance:
            return False
        return isinstance(self.target.connection, Connector) or instance.is_by_connector

    def address(self, instance: Instance) -> tuple[str, int]:
        """An instance's own address, as applications have it.

        Returns:
            Host and port.

        Raises:
            RunbookError: it has none.
        """
        addresses = {address.type: address.ip_address for address in instance.ip_addresses}
        host = addresses.get("PRIVATE") or addresses.get("PRIMARY")
        if not host:
            message = f"instance {instance.name} has no address"
            raise RunbookError(message)
        return host, self._port(instance.name)

    def by_connector(self, connection_name: str, ip_type: Literal["private", "psc"] = "private") -> dict[str, Any]:
        """Where Google's connector takes connections to an instance, in libpq's words; from any thread.

        Args:
            connection_name: PROJECT:REGION:INSTANCE.
            ip_type: which of its addresses, where the target does not say.
        """
        # Most targets need none, and the connector's library takes a while to load.
        from runtime.db.gateway import Gateway  # noqa: PLC0415

        connection = self.target.connection
        with self._making:
            if connection_name not in self._gateways:
                self._gateways[connection_name] = Gateway(
                    connection_name,
                    endpoint=self.target.endpoints.sql,
                    ip_type=connection.ip_type if isinstance(connection, Connector) else ip_type,
                    silence_seconds=SILENCE_SECONDS,
                    opener=self._opener(),
                )
        return self._gateways[connection_name].place()

    def _opener(self) -> "Opener | None":
        connection = self.target.connection
        if not isinstance(connection, Connector) or connection.through is None:
            return None
        return socks.opener(connection.through, self.target.stack or self.target.name)

    def _port(self, instance: str) -> int:
        places = self.target.endpoints.places
        if places is None:
            return POSTGRES_PORT
        answer = httpx.get(places, timeout=CONNECT_SECONDS, trust_env=False).json()
        found = [
            one["port"]
            for one in answer["instances"]
            if (one["project"], one["instance"]) == (self.target.project, instance)
        ]
        return int(found[0]) if found else POSTGRES_PORT

    def _authority(self, instance: Instance) -> Path:
        path = Path(self._certificates.name) / f"{instance.name}.pem"
        extra = instance.model_extra or {}
        certificate = extra.get("serverCaCert", {}).get("cert", "")
        try:
            ssl.PEM_cert_to_DER_cert(certificate)
        except ValueError:
            message = f"instance {instance.name} shows no certificate authority (serverCaCert)"
            raise RunbookError(message) from None
        path.write_text(certificate)
        return path
