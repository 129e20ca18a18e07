"""Fronts of instances, and clients' keys and certificates."""

import datetime as dt
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runbooks.sandbox.front.certificates import EPHEMERAL_LIFETIME, Certificates
from runbooks.sandbox.front.front import Front

DNS_NAME = "0a1b2c3d4e5f.1n5t.us-central1.sql.goog."
PORT, CONNECTOR_PORT = 5432, 3307
_numbers = itertools.count(1)


def address_of_its_own() -> str:
    """One that no other test has, in this process or beside it."""
    process, number = os.getpid(), next(_numbers)
    return f"127.{100 + process % 100}.{process // 100 % 250}.{number}"


@dataclass(frozen=True)
class Instance:
    """A front, its certificates, and where its CA's is for clients."""

    front: Front
    certificates: Certificates
    ca: Path


@dataclass(frozen=True)
class ClientFiles:
    """A client's certificate and key, as drivers want them."""

    certificate: Path
    key: Path


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """The public half, as a client sends it."""
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def client_files(
    folder: Path,
    certificates: Certificates,
    *,
    lifetime: dt.timedelta = EPHEMERAL_LIFETIME,
    access_token: str | None = None,
) -> ClientFiles:
    """Have a certificate made for a new key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    files = ClientFiles(folder / f"client-{next(_numbers)}.pem", folder / f"client-{next(_numbers)}.key")
    files.certificate.write_text(certificates.sign(public_pem(key), lifetime=lifetime, access_token=access_token))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    files.key.chmod(0o600)
    return files
