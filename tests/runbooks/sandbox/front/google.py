"""Google as far as the connector asks it: tokens, connectSettings, generateEphemeralCert."""

import base64
import http.server
import json
import secrets
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runbooks.local.ports import HOST
from runbooks.sandbox.front.logins import derived_password
from runtime.db.tokens import ADMIN_SCOPE, LOGIN_SCOPE
from tests.runbooks.sandbox.front.fronts import DNS_NAME, Instance

SERVICE_ACCOUNT = "api@project.iam.gserviceaccount.com"
IAM_USER = "api@project.iam"
SANDBOX_SECRET = bytes(range(32))
INSTANCE = "project:us-central1:holdfast"
CALLS = "/sql/v1beta4/projects/project/instances/holdfast"


class Google:
    """What it knows, and an instance's IAM users by that."""

    def __init__(self) -> None:
        self.instance: Instance | None = None
        self.given: dict[str, tuple[str, str]] = {}
        self.port = 0

    @property
    def endpoint(self) -> str:
        """Where its services are."""
        return f"http://{HOST}:{self.port}"

    def password_of(self, user: str) -> str | None:
        return derived_password(SANDBOX_SECRET, user) if user == IAM_USER else None

    def accepts(self, user: str, token: str) -> bool:
        return self.given.get(token) == (f"{user}.gserviceaccount.com", LOGIN_SCOPE)

    def token(self, form: dict[str, list[str]]) -> dict[str, Any]:
        payload = form["assertion"][0].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        token = secrets.token_urlsafe()
        self.given[token] = (claims["iss"], claims["scope"])
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

    def connect_settings(self) -> dict[str, Any]:
        assert self.instance is not None
        return {
            "kind": "sql#connectSettings",
            "backendType": "SECOND_GEN",
            "databaseVersion": "POSTGRES_18",
            "region": "us-central1",
            "dnsName": DNS_NAME,
            "ipAddresses": [{"type": "PRIVATE", "ipAddress": self.instance.front.address}],
            "serverCaCert": {"kind": "sql#sslCert", "cert": self.instance.certificates.server_ca},
            "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
        }

    def ephemeral_certificate(self, asked: dict[str, str]) -> dict[str, Any]:
        assert self.instance is not None
        signed = self.instance.certificates.sign(asked["public_key"], access_token=asked.get("access_token"))
        return {"ephemeralCert": {"kind": "sql#sslCert", "cert": signed}}


@contextmanager
def serving(google: Google, account: Path) -> Iterator[None]:
    """Serve it on this machine, and write a service account's file that knows where its tokens are."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            assert self._is_allowed(), self.path
            assert self.path == f"{CALLS}/connectSettings"
            self._answer(google.connect_settings())

        def do_POST(self) -> None:  # the library's name
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path == "/token":
                self._answer(google.token(urllib.parse.parse_qs(body)))
                return
            assert self._is_allowed()
            assert self.path == f"{CALLS}:generateEphemeralCert"
            self._answer(google.ephemeral_certificate(json.loads(body)))

        def _is_allowed(self) -> bool:
            token = self.headers["Authorization"].removeprefix("Bearer ")
            return google.given.get(token) == (SERVICE_ACCOUNT, ADMIN_SCOPE)

        def _answer(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
    google.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = {
        "type": "service_account",
        "client_email": SERVICE_ACCOUNT,
        "private_key": key.decode(),
        "private_key_id": "1",
        "token_uri": f"{google.endpoint}/token",
    }
    account.write_text(json.dumps(content))
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
