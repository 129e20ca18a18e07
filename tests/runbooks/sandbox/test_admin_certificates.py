"""Certificates are rotated without a moment at which a client that knows both CAs stays outside."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.runbooks.sandbox.admin import PASSWORD, PLAIN, Admin, reason, sandbox


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("certificates") / "state") as admin:
        admin.insert("one", PLAIN, rootPassword=PASSWORD)
        yield admin


def enter(admin: Admin, trusted: Path, **more: Any) -> Any:
    """A connection of a client that trusts the certificates in a file."""
    [place] = admin.control.get("instances").json()["instances"]
    return psycopg2.connect(
        host=place["host"],
        port=place["port"],
        user="postgres",
        password=PASSWORD,
        dbname="postgres",
        sslmode="verify-ca",
        sslrootcert=str(trusted),
        **more,
    )


def cas(admin: Admin) -> dict[str, Any]:
    return admin.http.get("instances/one/listServerCas").json()


def test_the_servers_ca_is_rotated_and_back(admin: Admin, tmp_path: Path) -> None:
    [old] = cas(admin)["certs"]
    assert old == admin.get("one")["serverCaCert"]
    before, both, after = (tmp_path / name for name in ("before.pem", "both.pem", "after.pem"))
    before.write_text(old["cert"])
    staying = enter(admin, before)
    assert reason(admin.http.post("instances/one/rotateServerCa")) == (400, "INVALID_REQUEST")

    admin.well(admin.http.post("instances/one/addServerCa"))
    listed = cas(admin)
    first, new = listed["certs"]
    assert first["sha1Fingerprint"] == listed["activeVersion"] == old["sha1Fingerprint"]
    after.write_text(new["cert"])
    both.write_text(old["cert"] + new["cert"])
    enter(admin, before).close()
    enter(admin, both).close()
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        enter(admin, after)

    context = {"rotateServerCaContext": {"nextVersion": new["sha1Fingerprint"]}}
    wrong = {"rotateServerCaContext": {"nextVersion": "00"}}
    assert reason(admin.http.post("instances/one/rotateServerCa", json=wrong)) == (400, "INVALID_REQUEST")
    admin.well(admin.http.post("instances/one/rotateServerCa", json=context))
    assert cas(admin)["activeVersion"] == new["sha1Fingerprint"]
    assert admin.get("one")["serverCaCert"] == new
    assert admin.http.get("instances/one/connectSettings").json()["serverCaCert"] == new
    enter(admin, after).close()
    enter(admin, both).close()
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        enter(admin, before)

    # Back to the former one, and forth.
    back = {"rotateServerCaContext": {"nextVersion": old["sha1Fingerprint"]}}
    admin.well(admin.http.post("instances/one/rotateServerCa", json=back))
    enter(admin, before).close()
    admin.well(admin.http.post("instances/one/rotateServerCa"))
    enter(admin, after).close()
    with staying.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    staying.close()


def test_a_clients_certificate_lets_it_in_until_it_is_deleted(admin: Admin, tmp_path: Path) -> None:
    rule = {"settings": {"ipConfiguration": {"sslMode": "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"}}}
    admin.well(admin.http.patch("instances/one", json=rule))

    def insert(name: str) -> tuple[dict[str, Any], dict[str, str]]:
        made = admin.http.post("instances/one/sslCerts", json={"commonName": name}).json()
        admin.well(admin.http.get(f"operations/{made['operation']['name']}"))
        key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        key.touch(mode=0o600)
        key.write_text(made["clientCert"]["certPrivateKey"])
        certificate.write_text(made["clientCert"]["certInfo"]["cert"])
        return made["clientCert"]["certInfo"], {"sslkey": str(key), "sslcert": str(certificate)}

    trusted = tmp_path / "ca.pem"
    trusted.write_text(admin.get("one")["serverCaCert"]["cert"])
    with pytest.raises(psycopg2.OperationalError):
        enter(admin, trusted)
    one, way_in = insert("app")
    other, other_way_in = insert("other")
    enter(admin, trusted, **way_in).close()
    again = admin.http.post("instances/one/sslCerts", json={"commonName": "app"})
    assert reason(again) == (409, "invalidState")
    url = f"instances/one/sslCerts/{one['sha1Fingerprint']}"
    assert admin.http.get(url).json() == one
    assert admin.http.get("instances/one/sslCerts").json()["items"] == [one, other]

    # The CA may change meanwhile: who was let in is.
    admin.well(admin.http.post("instances/one/addServerCa"))
    admin.well(admin.http.post("instances/one/rotateServerCa"))
    trusted.write_text(admin.get("one")["serverCaCert"]["cert"])
    enter(admin, trusted, **way_in).close()

    admin.well(admin.http.delete(url))
    with pytest.raises(psycopg2.OperationalError):
        enter(admin, trusted, **way_in)
    enter(admin, trusted, **other_way_in).close()
    assert reason(admin.http.get(url)) == (404, "sslCertDoesNotExist")

    admin.well(admin.http.post("instances/one/resetSslConfig"))
    assert admin.http.get("instances/one/sslCerts").json()["items"] == []
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        enter(admin, trusted, **other_way_in)
    trusted.write_text(admin.get("one")["serverCaCert"]["cert"])
    with pytest.raises(psycopg2.OperationalError):
        enter(admin, trusted, **other_way_in)
    _, new_way_in = insert("app")
    enter(admin, trusted, **new_way_in).close()


def test_an_ephemeral_certificate_is_good_for_as_long_as_it_is_asked(admin: Admin) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    public = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def minutes(made: dict[str, Any]) -> float:
        end = x509.load_pem_x509_certificate(made["cert"].encode()).not_valid_after_utc
        return (end - dt.datetime.now(dt.UTC)).total_seconds() / 60

    url = "instances/one:generateEphemeralCert"
    made = admin.http.post(url, json={"public_key": public, "validDuration": "600s"}).json()["ephemeralCert"]
    assert 9 < minutes(made) <= 10
    assert 59 < minutes(admin.http.post("instances/one/createEphemeral", json={"public_key": public}).json()) <= 60
    for wrong in ("0s", "90000s"):
        answer = admin.http.post(url, json={"public_key": public, "validDuration": wrong})
        assert reason(answer) == (400, "INVALID_REQUEST")
