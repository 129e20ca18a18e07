"""`SELECT 1` as the applications' logins and the operator's, with asyncpg, which keeps the server's own error codes."""

import asyncio
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from runbooks.engine.errors import FailedError, RunbookError
from runbooks.engine.findings import Finding, Result
from runbooks.engine.target import Login, Proxy
from runbooks.procedures.connection.pool import exhausted
from runbooks.procedures.connection.probe import SECONDS, Probe, fault, ok, unknown
from runbooks.procedures.connection.tls import ACCEPTED, context_of
from runtime.cloudsql.errors import CloudSqlError
from runtime.errors import first_line

if TYPE_CHECKING:
    import ssl

PASSWORD_WRONG = "28P01"  # noqa: S105  # PostgreSQL's code
NOT_LET_IN = "28000"
NO_DATABASE = "3D000"
NO_CONNECTION_FREE = "53300"
NO_WAY = "08001"
HUNG_UP = (NO_WAY, "08003", "08006")
# What a connector needs of the Admin API.
CLIENT = "roles/cloudsql.client"


class Role(Enum):
    """How a role is, for whom the server does not let in."""

    THERE = "there"
    LOCKED = "without the right to log in"
    MISSING = "missing"
    UNKNOWN = "nobody can be asked"


@dataclass(frozen=True)
class _Identity:
    """Who logs in, and whence that is known."""

    user: str
    password: SecretStr
    database: str
    secret: str
    encrypted: bool = True
    login: Login | None = None


@dataclass(frozen=True)
class _Answer:
    """What the server said; no code when it let one in, or said nothing."""

    code: str = ""
    text: str = ""
    seconds: float = 0.0


def logins(probe: Probe) -> Iterator[Finding]:
    """Each application's login, then the operator's, up to the first that does not get in."""
    if probe.instance is None and not isinstance(probe.target.connection, Proxy):
        yield unknown("SELECT 1 answers", "not tested: the instance's address is not known")
        return
    for login in (*probe.target.logins, None):
        secret = login.secret if login else probe.target.operator.secret
        try:
            identity = _identity(probe, login, probe.tools.secrets.newest(secret))
        except (FailedError, CloudSqlError) as error:
            read = probe.gcloud("secrets", "versions", "access", "latest", f"--secret={_short(secret)}")
            yield fault(f"Secret {_short(secret)} can be read", str(error), read)
            return
        except (ArgumentError, ValueError):
            # Their words repeat the text.
            found = "its newest version is no URL"
            yield fault(f"Secret {_short(secret)} is a database URL", found, _rewrite(probe, secret))
            return
        finding = _judged(probe, identity)
        yield finding
        if finding.result is Result.FAULT:
            return


def _identity(probe: Probe, login: Login | None, text: SecretStr) -> _Identity:
    if login is None:
        operator = probe.target.operator
        return _Identity(operator.user, text, probe.target.database, operator.secret)
    url = make_url(text.get_secret_value())
    return _Identity(
        user=url.username or "",
        password=SecretStr(url.password or ""),
        database=url.database or url.username or "",
        secret=login.secret,
        encrypted=url.query.get("sslmode", url.query.get("ssl")) != "disable",
        login=login,
    )


def _judged(probe: Probe, identity: _Identity) -> Finding:
    answer = _ask(probe, identity, encrypted=identity.encrypted)
    if not answer.code and not answer.text:
        return ok(f"SELECT 1 as {identity.user} answers", f"in {answer.seconds * 1000:.0f} ms")
    if answer.code == NO_DATABASE:
        return _without_database(probe, identity)
    if answer.code == NO_CONNECTION_FREE:
        return exhausted(probe, identity.user, identity.database, answer.text)
    if answer.code in (PASSWORD_WRONG, NOT_LET_IN):
        return _tls_refused(probe, identity, answer) or _role_or_password(probe, identity, answer)
    return _other(probe, identity, answer)


def _without_database(probe: Probe, identity: _Identity) -> Finding:
    test, wanted = f"Database {identity.database} exists", probe.target.database
    make = probe.gcloud("sql", "databases", "create", identity.database, f"--instance={probe.target.instance}")
    make = f"{make}; python -m runtime migrate"
    if identity.database == wanted:
        return fault(test, "no", make)
    named = f"no; the target's is {wanted}, and the URL names this one"
    return fault(test, named, f"name {wanted} in the URL: {_rewrite(probe, identity.secret)}; or make it: {make}")


def _other(probe: Probe, identity: _Identity, answer: _Answer) -> Finding:
    test = f"SELECT 1 as {identity.user} answers"
    if answer.code == NO_WAY and probe.instance is not None and probe.tools.is_by_connector(probe.instance):
        project = shlex.quote(probe.target.project)
        grant = f"gcloud projects add-iam-policy-binding {project} --member={probe.member} --role={CLIENT}"
        return fault("The connector gets through", answer.text, f"if it is a right that is missing: {grant}")
    if isinstance(probe.target.connection, Proxy) and (not answer.code or answer.code in HUNG_UP):
        found = f"the proxy takes the connection, and no server answers: {answer.text}"
        again = "restart the proxy, which may have begun with credentials that have expired, or for another instance"
        return fault(
            test, found, f"{again}: cloud-sql-proxy --port={probe.target.connection.port} {probe.connection_name}"
        )
    whose = f'resource.labels.database_id="{probe.target.project}:{probe.target.instance}"'
    logs = probe.gcloud("logging", "read", whose, "--limit=20")
    return fault(test, f"{answer.code} {answer.text}".strip(), f"read the server's log: {logs}")


def _ask(probe: Probe, identity: _Identity, *, encrypted: bool) -> _Answer:
    connection = probe.target.connection
    tls: ssl.SSLContext | str = "disable"
    if isinstance(connection, Proxy):
        host, port = connection.host, connection.port
    else:
        assert probe.instance is not None  # noqa: S101  # looked at before
        place = probe.tools.place(probe.instance)
        host, port = place["host"], place["port"]
        if "sslrootcert" in place:
            tls = context_of(place["sslrootcert"]) if encrypted else "disable"
    began = time.monotonic()
    try:
        asyncio.run(_select(identity, host=host, port=port, ssl=tls))
    except asyncpg.PostgresError as error:
        return _Answer(error.sqlstate or "", first_line(error))
    except TimeoutError:
        return _Answer(text=f"no answer within {SECONDS:g} s")
    except (OSError, asyncpg.InterfaceError) as error:
        return _Answer(text=first_line(error))
    return _Answer(seconds=time.monotonic() - began)


async def _select(identity: _Identity, **place: Any) -> None:
    try:
        connection = await asyncpg.connect(
            **place,
            user=identity.user,
            password=identity.password.get_secret_value(),
            database=identity.database,
            timeout=SECONDS,
            command_timeout=SECONDS,
            server_settings={"application_name": "holdfast-runbook"},
        )
        try:
            await connection.execute("SELECT 1")
        finally:
            await connection.close(timeout=SECONDS)
    finally:
        # asyncpg does not wait for the end of a connection that failed, and the loop would end before it.
        for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
            transport.abort()
        await asyncio.sleep(0)


def _tls_refused(probe: Probe, identity: _Identity, answer: _Answer) -> Finding | None:
    """The server gives one code to whom it refuses for want of TLS, of a certificate, and of a role: ask otherwise."""
    if probe.instance is None or isinstance(probe.target.connection, Proxy) or answer.code != NOT_LET_IN:
        return None
    if probe.tools.is_by_connector(probe.instance):
        return None
    if not identity.encrypted and _ask(probe, identity, encrypted=True).code != NOT_LET_IN:
        found = f"{identity.user} asks for none (sslmode=disable), and the server wants it: {answer.text}"
        return fault(ACCEPTED, found, f"write sslmode=require: {_rewrite(probe, identity.secret)}")
    extra = probe.instance.settings.model_extra or {}
    if extra.get("ipConfiguration", {}).get("sslMode") == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED":
        relax = probe.gcloud("sql", "instances", "patch", probe.target.instance, "--ssl-mode=ENCRYPTED_ONLY")
        return fault(ACCEPTED, f"the server wants a certificate of the client's: {answer.text}", relax)
    return None


def _role_or_password(probe: Probe, identity: _Identity, answer: _Answer) -> Finding:
    """The server does not tell whether it is the password or the role: the operator's login knows, or the API."""
    user, instance = identity.user, probe.target.instance
    state = _role(probe, user)
    if state is Role.MISSING:
        create = probe.gcloud("sql", "users", "create", user, f"--instance={instance}")
        member = "python -m runtime migrate, with the user in DB_ROLE_MEMBERS; " if identity.login else ""
        known = f"the password of secret {_short(identity.secret)}"
        return fault(
            f"Role {user} exists", "no", f'{create} --password="$PASSWORD", {known}; {member}then run this again'
        )
    if state is Role.LOCKED:
        return fault(f"Role {user} may log in", "it has NOLOGIN", f'as the operator: ALTER ROLE "{user}" LOGIN')
    if identity.login is None:
        change = probe.gcloud("sql", "users", "set-password", user, f"--instance={instance}", "--prompt-for-password")
        mend = f"{change}; then the same password: {_rewrite(probe, identity.secret)}"
    else:
        mend = f"holdfast runbook run rotate-password login={identity.login.name}"
    doubt = "; whether the role exists could not be asked" if state is Role.UNKNOWN else ""
    return fault(f"The password of {user} is right", f"secret {_short(identity.secret)}: {answer.text}{doubt}", mend)


def _role(probe: Probe, user: str) -> Role:
    try:
        rows = probe.tools.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", user, database="postgres")
    except (RunbookError, CloudSqlError):
        try:
            names = [one.name for one in probe.tools.admin.within(SECONDS).users.list(probe.target.instance)]
        except CloudSqlError:
            return Role.UNKNOWN
        return Role.THERE if user in names else Role.MISSING
    if not rows:
        return Role.MISSING
    return Role.THERE if rows[0][0] else Role.LOCKED


def _rewrite(probe: Probe, secret: str) -> str:
    return probe.gcloud("secrets", "versions", "add", _short(secret), "--data-file=-")


def _short(secret: str) -> str:
    return secret.rpartition("/")[2]
