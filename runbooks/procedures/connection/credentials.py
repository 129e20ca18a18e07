"""Google's credentials on this machine. There are two, and each expires by itself.

gcloud has its own; by the application-default ones the proxy, procedures and every client library ask.
"""

import configparser
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials as UserCredentials
from google.oauth2.service_account import Credentials as ServiceAccountCredentials

from runbooks.engine.findings import Finding
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runtime.db.tokens import ADMIN_SCOPE
from runtime.errors import first_line

USER = "The login of gcloud is valid"
APPLICATION = "The application-default credentials are valid"
LOG_IN = "gcloud auth login"
LOG_IN_APPLICATION = "gcloud auth application-default login"
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
GCLOUD_SECONDS = 60
NOBODY = "nobody is logged in, and neither a proxy nor a procedure needs it"
KINDS: Mapping[str, Callable[..., Credentials]] = {
    "authorized_user": UserCredentials.from_authorized_user_info,
    "service_account": ServiceAccountCredentials.from_service_account_info,
}
# gcloud's and Google's words for what only the network or the service is to blame for.
NOT_REACHED = ("could not reach", "transport", "connection", "timed out", "unavailable")


def user(probe: Probe) -> Iterator[Finding]:
    """The credentials of gcloud itself, which the commands of this procedure's findings need."""
    if not _needed(probe):
        return
    program = shutil.which("gcloud")
    yield _by_gcloud(program, probe) if program else _by_file(probe)


def application(probe: Probe) -> Iterator[Finding]:
    """The application-default credentials: they are there, and Google gives a token for them."""
    if not _needed(probe):
        yield ok("Google's credentials are valid", "none are needed: the target's Admin API is on this machine")
        return
    named = os.environ.get(FILE)
    # A login writes another file than the one that the variable names.
    mend = f"unset {FILE}; {LOG_IN_APPLICATION}" if named else LOG_IN_APPLICATION
    where = named or "where gcloud puts them"
    try:
        credentials = google.auth.default([ADMIN_SCOPE])[0]
    except DefaultCredentialsError as error:
        absent = f"{named}: {first_line(error)}" if named else "there are none on this machine"
        yield fault(APPLICATION, absent, mend)
        return
    email = getattr(credentials, "service_account_email", None)
    if email:
        probe.member = f"serviceAccount:{email}"
    yield _judged(APPLICATION, credentials, probe, where, mend)


def _needed(probe: Probe) -> bool:
    endpoints = probe.target.endpoints
    return endpoints.sql is None or endpoints.sql.startswith("https://") or endpoints.tokens is not None


def _by_gcloud(program: str, probe: Probe) -> Finding:
    endpoint = probe.target.endpoints.tokens
    settings = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", **({"CLOUDSDK_AUTH_TOKEN_HOST": endpoint} if endpoint else {})}
    try:
        done = subprocess.run(
            [program, "auth", "print-access-token"],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            # It is a secret.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=GCLOUD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return unknown(USER, f"gcloud does not answer: {first_line(error)}", LOG_IN)
    if done.returncode == 0:
        return ok(USER, "gcloud has a token")
    said = next((line for line in done.stderr.splitlines() if line.startswith("ERROR:")), done.stderr.strip()[:200])
    if "active account" in said:
        return ok(USER, NOBODY)
    if any(word in said.lower() for word in NOT_REACHED):
        return unknown(USER, said, "see whether this machine reaches https://oauth2.googleapis.com")
    return fault(USER, said, LOG_IN)


def _by_file(probe: Probe) -> Finding:
    try:
        account, stored = _stored()
        if stored is None:
            return ok(USER, NOBODY)
        kind = KINDS.get(stored.get("type", ""))
        if kind is None:
            return unknown(USER, f"{account} is no user and no service account", "ask gcloud itself, where it is")
        credentials = kind(stored, scopes=[ADMIN_SCOPE])
    except (OSError, ValueError, sqlite3.Error, configparser.Error, GoogleAuthError) as error:
        return fault(USER, f"gcloud's files cannot be read: {first_line(error)}", LOG_IN)
    return _judged(USER, credentials, probe, account, LOG_IN)


def _stored() -> tuple[str, dict[str, Any] | None]:
    """The account that gcloud is set to, and what it keeps of it, where gcloud itself is not installed."""
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    kept = folder / "credentials.db"
    if not kept.is_file():
        return "", None
    active = folder / "active_config"
    name = active.read_text().strip() if active.is_file() else "default"
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(folder / "configurations" / f"config_{name}")
    account = settings.get("core", "account", fallback="")
    with closing(sqlite3.connect(f"{kept.as_uri()}?mode=ro", uri=True)) as database:
        row = database.execute("SELECT value FROM credentials WHERE account_id = ?", (account,)).fetchone()
    return account, json.loads(row[0]) if row else None


def _judged(test: str, credentials: Credentials, probe: Probe, where: str, mend: str) -> Finding:
    endpoint = probe.target.endpoints.tokens
    if endpoint is not None and hasattr(credentials, "with_token_uri"):
        credentials = credentials.with_token_uri(endpoint)
    try:
        credentials.refresh(partial(Request(), timeout=SECONDS))  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    except GoogleAuthError as error:
        if isinstance(error, TransportError) or error.retryable:
            why = "see whether this machine reaches https://oauth2.googleapis.com"
            return unknown(test, f"Google gives no answer ({type(error).__name__})", why)
        return fault(test, f"{where}: {first_line(error)}", mend)
    return ok(test, f"{where}: Google gives a token for them")
