"""Sending applications to another instance: their passwords there, their URLs or pointers, their services."""

from dataclasses import dataclass

import psycopg2
from pydantic import SecretStr
from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.run import Run
from runbooks.engine.services import roll
from runbooks.engine.target import Login, Service
from runbooks.procedures import pointers
from runtime.cloudsql.models import Instance
from runtime.errors import first_line

# Where Cloud Run and the Auth Proxy put an instance's socket.
SOCKETS = "/cloudsql/"
CHANGES = ("cutover", "secretmanager.versions.add", "run.services.patch")


@dataclass(frozen=True)
class Credentials:
    """Who comes in, and how."""

    user: str
    password: SecretStr
    database: str


def give_passwords(run: Run, instance: str) -> None:
    """Let the operator and each application into an instance by the passwords that they have at present.

    Raises:
        FailedError: ROLE_ABSENT, a login was not there yet when the instance's data was.
    """
    users = {user.name for user in run.tools.admin.users.list(instance)}
    for name, credentials in [("operator", _operator(run)), *_of_applications(run)]:
        if credentials.user not in users:
            code = "ROLE_ABSENT"
            message = f"{instance} has no user {credentials.user} ({name}): it was made later than this data"
            raise FailedError(code, message)
        if _comes_in(run, instance, credentials) is not None:
            run.progress(f"the password of {credentials.user}")
            run.wait(run.tools.admin.users.update(instance, credentials.user, password=credentials.password))


def send_applications(run: Run, instance: str) -> None:
    """Give each application a URL with the instance's address, or its name, and let its service read it."""
    run.tools.permissions.require("cutover")
    there = run.instance(instance)
    # All secrets before any service: two may be of one service, which starts anew once.
    written = [_given_url(run, one, there) for one in run.target.logins]
    written += [pointers.move(run, one, there) for one in run.target.services]
    for one, version in zip(_sent(run), written, strict=True):
        found = f"{version} of {one.secret}"
        action = ""
        if one.service:
            found += f"; revision {roll(run.tools, one.service, run.id)} reads it"
        elif isinstance(one, Service):
            found += "; each execution from now on reads it"
        else:
            action = f"start what reads {one.secret} anew"
        run.find(f"Application {one.name} is sent to {instance}", Result.OK, found, action)


def see_applications_in(run: Run, instance: str) -> None:
    """See that each application comes into an instance by what its secret says.

    Raises:
        FailedError: APPLICATION_SHUT_OUT.
    """
    for name, credentials in _of_applications(run):
        why = _comes_in(run, instance, credentials)
        test = f"Application {name} comes in and reads"
        if why is not None:
            run.find(test, Result.FAULT, why, f"holdfast runbook run diagnose-connection # on {instance}")
            code = "APPLICATION_SHUT_OUT"
            message = f"{name} as {credentials.user} on {instance}: {why}"
            raise FailedError(code, message)
        run.find(test, Result.OK, f"as {credentials.user} on {instance}")
    pointers.see(run, instance)


def to_send(run: Run) -> str:
    """What a cut-over would change, in words."""
    names = [f"{one.name} ({one.secret}{f', {one.service}' if one.service else ''})" for one in _sent(run)]
    return ", ".join(names) or "the target names no applications"


def _sent(run: Run) -> list[Login | Service]:
    return [*run.target.logins, *run.target.services]


def _given_url(run: Run, login: Login, there: Instance) -> str:
    """The version that has the instance's address; another one if the newest has not."""
    old = run.tools.secrets.newest(login.secret)
    new = _pointed_at(run, there, _url(login, old))
    if new == _url(login, old):
        return pointers.NEWEST
    return run.tools.secrets.add(login.secret, SecretStr(new.render_as_string(hide_password=False)))


def _comes_in(run: Run, instance: str, credentials: Credentials) -> str | None:
    """Why somebody does not come in and read; None if they do."""
    try:
        with (
            run.tools.connect(
                instance, database=credentials.database, user=credentials.user, password=credentials.password
            ) as opened,
            opened.cursor() as cursor,
        ):
            # Every login may read it, and it says that the schema is there.
            cursor.execute("SELECT version_num FROM alembic_version")
    except psycopg2.Error as error:
        return first_line(error)
    return None


def _operator(run: Run) -> Credentials:
    operator = run.target.operator
    return Credentials(operator.user, run.tools.secrets.newest(operator.secret), run.target.database)


def _of_applications(run: Run) -> list[tuple[str, Credentials]]:
    found = []
    for login in run.target.logins:
        url = _url(login, run.tools.secrets.newest(login.secret))
        # Without a password it is Google's identity, which instances know by themselves.
        if url.username and url.password:
            password = SecretStr(str(url.password))
            found.append((login.name, Credentials(url.username, password, url.database or run.target.database)))
    return found


def _url(login: Login, text: SecretStr) -> URL:
    try:
        return make_url(text.get_secret_value().strip())
    except ArgumentError:
        code = "SECRET_UNREADABLE"
        message = f"{login.secret}: its newest version is no database URL"
        raise FailedError(code, message) from None


def _pointed_at(run: Run, instance: Instance, url: URL) -> URL:
    socket = url.query.get("host")
    if isinstance(socket, str) and socket.startswith(SOCKETS):
        return url.update_query_dict({"host": SOCKETS + instance.connection_name})
    host, port = run.tools.address(instance)
    return url.set(host=host, port=port)
