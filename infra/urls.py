"""Addresses with a password in them, as the runtime reads them."""

from urllib.parse import quote

# Where a container finds the authority of the cache: its secret is a file there.
AUTHORITY_FOLDER = "/secrets/cache"
AUTHORITY_FILE = "ca.pem"


def duty_url(user: str, password: str, database: str) -> str:
    """The database as somebody else, wherever GCP_SQL_INSTANCE says that it is."""
    return f"postgresql://{quote(user)}:{quote(password, safe='')}@/{database}"


def database_url(user: str, password: str, database: str, connection_name: str) -> str:
    """The database by the socket of the Auth Proxy, which our connector takes for itself.

    Not the private address: the instance takes connectors only.
    """
    return f"{duty_url(user, password, database)}?host=/cloudsql/{connection_name}"


def cache_url(auth: str, host: str, port: int) -> str:
    """The cache by TLS, with its own authority."""
    # The certificate has the address as its common name, which TLS clients no longer read. The authority is the
    # instance's own and signs for nobody else, so a certificate of it is the right one:
    # https://cloud.google.com/memorystore/docs/redis/about-in-transit-encryption, as of 2026-11.
    options = f"ssl_ca_certs={AUTHORITY_FOLDER}/{AUTHORITY_FILE}&ssl_check_hostname=false"
    return f"rediss://:{quote(auth, safe='')}@{host}:{port}/0?{options}"
