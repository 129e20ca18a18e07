"""An instance's certificates, as Cloud SQL has them: a CA of its own, the server's certificate, and its clients'."""

import datetime as dt
import hashlib
import ipaddress
import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runbooks.local.files import write_private
from runtime.errors import HoldfastError

KEY_BITS = 2048
LIFETIME = dt.timedelta(days=3650)
EPHEMERAL_LIFETIME = dt.timedelta(hours=1)
# Clocks differ.
SKEW = dt.timedelta(minutes=5)
# Where a client's certificate carries its access token. The number is the one that IANA gives to examples.
TOKEN_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")


class UnusableKeyError(HoldfastError):
    """A client's public key that no certificate is made for."""


class NoSuchCaError(HoldfastError):
    """A CA to rotate to that the instance does not have."""


@dataclass(frozen=True)
class Description:
    """What the Admin API tells of a certificate."""

    common_name: str
    serial: str
    sha1: str
    created_at: dt.datetime
    expires_at: dt.datetime


class Certificates:
    """The certificates of one instance. Made by `create`, they stay the same for as long as their folder does."""

    def __init__(self, folder: Path, *, project: str, instance: str, address: str, dns_name: str) -> None:
        """Nothing is read or written yet.

        Args:
            folder: Of these files only.
            project: The project's id.
            instance: The instance's name.
            address: Where clients find it.
            dns_name: What connectSettings says as its `dnsName`.
        """
        self._folder = folder
        self._common_name = f"{project}:{instance}"
        self._address = ipaddress.ip_address(address)
        self._dns_name = dns_name.rstrip(".")

    def create(self) -> None:
        """Make what is not there yet."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Each file is there whole or not at all, and the CA first: what a killed process left unfinished is made again.
        if not self._ca_path.exists():
            self._make_ca()
        if not self._server_path.exists():
            self._make_server()

    @property
    def server_ca(self) -> str:
        """The CA's certificate in PEM, for connectSettings and for a client's sslrootcert."""
        return self.server_cas[0]

    @property
    def server_cas(self) -> list[str]:
        """The certificates in PEM of all CAs that are trusted: the one in use, the next and the previous."""
        return [_first(path) for path in self._ca_paths if path.exists()]

    def add_ca(self) -> None:
        """Make the next CA, in the place of one that was never used. The server's certificate stays."""
        self._make_ca(self._next_ca_path)

    def rotate(self, sha1: str | None = None) -> None:
        """Let the server have a certificate of another CA. The CA until now becomes the previous one.

        Args:
            sha1: The fingerprint of the next CA's certificate or, to go back, the previous one's. None: the next.

        Raises:
            NoSuchCaError: there is no such CA.
        """
        wanted = self._rotation(sha1)
        if wanted is None:
            message = "there is no such CA to rotate to; add one first"
            raise NoSuchCaError(message)
        other = self._previous_ca_path if wanted == self._next_ca_path else self._next_ca_path
        # The server's goes first and is made last: what a killed process left unfinished is made again.
        self._server_path.unlink(missing_ok=True)
        write_private(other, self._ca_path.read_text())
        wanted.rename(self._ca_path)
        self._make_server()

    def can_rotate(self, sha1: str | None) -> bool:
        """Whether there is a CA to rotate to."""
        return self._rotation(sha1) is not None

    def reset(self) -> None:
        """Forget every certificate, and make new ones. No client's is good any more."""
        for path in (self._server_path, self._revoked_path, self._trusted_path, *reversed(self._ca_paths)):
            path.unlink(missing_ok=True)
        self.create()

    def revoke(self, serial: str) -> None:
        """Let a client's certificate be good no more, for contexts that are made from now on."""
        write_private(self._revoked_path, json.dumps(sorted({*self._revoked(), serial})))

    def server_context(self, *, requires_client: bool) -> ssl.SSLContext:
        """How a server of the instance does TLS.

        Args:
            requires_client: Whether the handshake fails for a client without a certificate of this CA. One of another
                CA, or one that has run out, fails it always.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Each connection shows its certificate anew, as with PostgreSQL.
        context.num_tickets = 0
        context.load_cert_chain(self._server_path)
        context.load_verify_locations(self._write_trusted())
        if self._revoked():
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.verify_mode = ssl.CERT_REQUIRED if requires_client else ssl.CERT_OPTIONAL
        return context

    def sign(
        self,
        public_key: str,
        *,
        common_name: str = "Google Cloud SQL Client",
        lifetime: dt.timedelta = EPHEMERAL_LIFETIME,
        access_token: str | None = None,
    ) -> str:
        """Make a client's certificate.

        Args:
            public_key: RSA, in PEM.
            common_name: The certificate's.
            lifetime: How long it is good.
            access_token: What the client logs in with by this certificate, instead of a password.

        Returns:
            The certificate in PEM.

        Raises:
            UnusableKeyError: the key is no RSA public key in PEM, or too short.
        """
        try:
            key = serialization.load_pem_public_key(public_key.encode())
        except ValueError:
            key = None
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS:
            message = f"public_key is not an RSA public key of at least {KEY_BITS} bits in PEM"
            raise UnusableKeyError(message)
        ca, ca_key = self._ca()
        subject = _name((NameOID.COMMON_NAME, common_name), (NameOID.ORGANIZATION_NAME, "Google, Inc"))
        builder = _builder(subject, ca.subject, key, lifetime)
        builder = _leaf(builder, ca, ExtendedKeyUsageOID.CLIENT_AUTH)
        if access_token is not None:
            token = x509.UnrecognizedExtension(TOKEN_EXTENSION, access_token.encode())
            builder = builder.add_extension(token, critical=False)
        return _pem(builder.sign(ca_key, hashes.SHA256()))

    @property
    def _ca_path(self) -> Path:
        return self._folder / "server-ca.pem"

    @property
    def _server_path(self) -> Path:
        return self._folder / "server.pem"

    @property
    def _next_ca_path(self) -> Path:
        return self._folder / "server-ca-next.pem"

    @property
    def _previous_ca_path(self) -> Path:
        return self._folder / "server-ca-previous.pem"

    @property
    def _ca_paths(self) -> tuple[Path, ...]:
        return self._ca_path, self._next_ca_path, self._previous_ca_path

    def _rotation(self, sha1: str | None) -> Path | None:
        wanted = [self._next_ca_path] if sha1 is None else self._ca_paths[1:]
        found = (path for path in wanted if path.exists() and sha1 in (None, describe(_first(path)).sha1))
        return next(found, None)

    @property
    def _revoked_path(self) -> Path:
        return self._folder / "revoked.json"

    @property
    def _trusted_path(self) -> Path:
        return self._folder / "trusted.pem"

    def _revoked(self) -> list[str]:
        found: list[str] = json.loads(self._revoked_path.read_text()) if self._revoked_path.exists() else []
        return found

    def _write_trusted(self) -> Path:
        # A file, since lists of revoked certificates can be loaded from files only.
        parts = self.server_cas
        if revoked := self._revoked():
            parts += [_revocations(*self._ca(path), revoked) for path in self._ca_paths if path.exists()]
        write_private(self._trusted_path, "".join(parts))
        return self._trusted_path

    def _ca(self, path: Path | None = None) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        content = (path or self._ca_path).read_bytes()
        # To check the key again takes longer than all else that is done with it.
        key = serialization.load_pem_private_key(content, password=None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101  # this class wrote it
        return x509.load_pem_x509_certificate(content), key

    def _make_ca(self, path: Path | None = None) -> None:
        key = _new_key()
        # Each instance's CA has a name of its own, so that a certificate never seems to be another instance's.
        subject = _name(
            (NameOID.DN_QUALIFIER, str(x509.random_serial_number())),
            (NameOID.COMMON_NAME, "Google Cloud SQL Server CA"),
            (NameOID.ORGANIZATION_NAME, "Google, Inc"),
            (NameOID.COUNTRY_NAME, "US"),
        )
        usage = _usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(subject, subject, key.public_key(), LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(path or self._ca_path, _pem(certificate) + _private_pem(key))

    def _make_server(self) -> None:
        ca, ca_key = self._ca()
        key = _new_key()
        subject = _name(
            (NameOID.COMMON_NAME, self._common_name),
            (NameOID.ORGANIZATION_NAME, "Google, Inc"),
            (NameOID.COUNTRY_NAME, "US"),
        )
        names = x509.SubjectAlternativeName([x509.DNSName(self._dns_name), x509.IPAddress(self._address)])
        builder = _leaf(_builder(subject, ca.subject, key.public_key(), LIFETIME), ca, ExtendedKeyUsageOID.SERVER_AUTH)
        certificate = builder.add_extension(names, critical=False).sign(ca_key, hashes.SHA256())
        write_private(self._server_path, _pem(certificate) + _private_pem(key))


def new_key() -> tuple[str, str]:
    """A client's key.

    Returns:
        The private and the public key, in PEM.
    """
    key = _new_key()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _private_pem(key), public.decode()


def describe(pem: str) -> Description:
    """Read a certificate."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Description(
        common_name=str(name.value),
        serial=str(certificate.serial_number),
        sha1=hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER), usedforsecurity=False).hexdigest(),
        created_at=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
    )


def access_token_of(der: bytes) -> str | None:
    """The access token in a client's certificate, if it has one."""
    extensions = x509.load_der_x509_certificate(der).extensions
    for extension in extensions:
        if extension.oid == TOKEN_EXTENSION and isinstance(extension.value, x509.UnrecognizedExtension):
            return extension.value.value.decode()
    return None


def _first(path: Path) -> str:
    return _pem(x509.load_pem_x509_certificate(path.read_bytes()))


def _revocations(ca: x509.Certificate, key: rsa.RSAPrivateKey, serials: list[str]) -> str:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateRevocationListBuilder(ca.subject, now - SKEW, now + LIFETIME)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder(int(serial), now - SKEW).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, lifetime: dt.timedelta
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _leaf(
    builder: x509.CertificateBuilder, ca: x509.Certificate, purpose: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    issuer = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_encipherment=key_encipherment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
