"""Where an instance answers, with TLS by its own authority, for the logins that the source has."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import requests
from sqlalchemy import URL

from runtime.cloudsql.models import Instance
from runtime.db.engine import SOCKETS
from runtime.errors import HoldfastError

POSTGRES_PORT = 5432
SECONDS = 10


class UnreachableError(HoldfastError):
    """An instance shows no way in."""


def address_of(instance: Instance, login: URL, authority: Path, *, port: int = POSTGRES_PORT) -> URL:
    """The address of an instance, for a login and a database that another address names.

    One that only connectors come to is named as a socket, which `runtime.db.engine` understands.

    Args:
        instance: with its addresses.
        login: user, password and database.
        authority: where the certificate of the instance's authority is written.
        port: that it answers at.

    Raises:
        UnreachableError: it has no address, or no authority.
    """
    if instance.is_by_connector:
        return URL.create(
            "postgresql",
            username=login.username,
            password=login.password,
            database=login.database,
            query={"host": SOCKETS + instance.connection_name},
        )
    addresses = {address.type: address.ip_address for address in instance.ip_addresses}
    host = addresses.get("PRIVATE") or addresses.get("PRIMARY")
    if not host:
        message = f"instance {instance.name} has no address"
        raise UnreachableError(message)
    certificate = (instance.model_extra or {}).get("serverCaCert", {}).get("cert", "")
    try:
        ssl.PEM_cert_to_DER_cert(certificate)
    except ValueError:
        message = f"instance {instance.name} shows no certificate authority (serverCaCert)"
        raise UnreachableError(message) from None
    authority.write_text(certificate)
    return URL.create(
        "postgresql",
        username=login.username,
        password=login.password,
        host=host,
        port=port,
        database=login.database,
        # The name in the certificate is the instance's, not the address.
        query={"sslmode": "verify-ca", "sslrootcert": str(authority)},
    )


def port_at(endpoint: str | None, project: str, instance: str) -> int:
    """The port of an instance: Google's is always the same; what stands in for Google tells its own.

    Args:
        endpoint: of the Admin API; plain http is on this machine.
        project: the instance's.
        instance: its name.

    Raises:
        UnreachableError: the service on this machine does not say.
    """
    if endpoint is None or urlsplit(endpoint).scheme != "http":
        return POSTGRES_PORT
    try:
        with requests.Session() as session:
            # The shell's proxy is not for this machine.
            session.trust_env = False
            answer = session.get(f"{endpoint}/sandbox/instances", timeout=SECONDS)
            answer.raise_for_status()
            places = answer.json()["instances"]
    except (requests.RequestException, ValueError, KeyError) as error:
        message = f"{endpoint} does not say where instance {instance} is: {error}"
        raise UnreachableError(message) from None
    found = [one["port"] for one in places if (one["project"], one["instance"]) == (project, instance)]
    return int(found[0]) if found else POSTGRES_PORT
