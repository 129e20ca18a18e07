"""An instance's certificates in their folder."""

import datetime as dt
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runbooks.sandbox.front.certificates import Certificates, UnusableKeyError, describe
from tests.runbooks.sandbox.front.fronts import DNS_NAME, public_pem

PEM, PUBLIC = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def certificates_in(folder: Path) -> Certificates:
    made = Certificates(folder, project="project", instance="holdfast", address="127.1.2.3", dns_name=DNS_NAME)
    made.create()
    return made


def test_they_outlive_their_process_and_are_their_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    first = certificates_in(folder).server_ca
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert certificates_in(folder).server_ca == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    # A process that was killed halfway: clients know the CA already.
    (folder / "server.pem").unlink()
    again = certificates_in(folder)
    assert again.server_ca == first
    again.server_context(requires_client=True)


def test_they_are_described_as_cloud_sql_does(tmp_path: Path) -> None:
    made = certificates_in(tmp_path)
    assert describe((tmp_path / "server.pem").read_text()).common_name == "project:holdfast"
    ca = describe(made.server_ca)
    assert ca.common_name == "Google Cloud SQL Server CA"
    assert "PRIVATE" not in made.server_ca
    client = describe(made.sign(public_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))))
    left = client.expires_at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)
    assert len({ca.serial, client.serial}) == len({ca.sha1, client.sha1}) == 2


@pytest.mark.parametrize("kind", ["nothing", "no PEM", "a short key", "a key of another kind", "a private key"])
def test_a_key_that_no_client_of_cloud_sql_has_is_refused(kind: str, tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = {
        "nothing": "",
        "no PEM": "-----BEGIN PUBLIC KEY-----\n%%%\n-----END PUBLIC KEY-----\n",
        "a short key": public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505  # it is refused
        "a key of another kind": ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(PEM, PUBLIC)
        .decode(),
        "a private key": private.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    }[kind]
    with pytest.raises(UnusableKeyError, match="public_key is not an RSA public key"):
        certificates_in(tmp_path).sign(key)
