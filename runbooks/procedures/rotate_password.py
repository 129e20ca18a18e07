"""rotate-password: another password, while whoever writes goes on writing.

A login of an application has two users with the same rights. The idle one gets the password, the secret's newest
version says so, and the other is locked out when nobody uses it any more. So at each moment the newest version works.
"""

import secrets
import time

import psycopg2
from pydantic import Field, SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from runbooks.engine import services
from runbooks.engine.errors import FailedError, RefusedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.engine.target import Login
from runbooks.procedures.preconditions import instance_serves
from runtime.errors import first_line

OPERATOR = "operator"
PASSWORD_BYTES = 32
POLL_SECONDS = 0.2
MOST_SECONDS = 24 * 3600.0
ONE_USER = "nothing: the operator has one user"
# Of everything but PostgreSQL's own: what one of two users may do and the other may not.
DIFFERENCES = """SELECT format('%%I.%%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname !~ '^(pg_|information_schema$)'
AND has_table_privilege(%s, c.oid, privilege) IS DISTINCT FROM has_table_privilege(%s, c.oid, privilege)
UNION
SELECT 'membership in ' || r.rolname FROM pg_roles r
WHERE pg_has_role(%s, r.oid, 'MEMBER') <> pg_has_role(%s, r.oid, 'MEMBER') AND r.rolname NOT IN (%s, %s)
ORDER BY 1"""
# Seen by the user itself.
TABLES = """SELECT format('%I.%I', n.nspname, c.relname),
has_table_privilege(c.oid, 'INSERT') OR has_table_privilege(c.oid, 'UPDATE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
AND n.nspname !~ '^(pg_|information_schema$)'
AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"""
SESSIONS = """SELECT pid, coalesce(nullif(application_name, ''), 'without a name'),
coalesce(client_addr::text, 'local'), backend_start
FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend' ORDER BY backend_start"""


class Asked(Inputs):
    """What is asked."""

    login: str = Field(min_length=1, description=f"`{OPERATOR}`, or the name of a login of the target")
    drain_seconds: float = Field(
        default=900.0, ge=0, le=MOST_SECONDS, description="how long sessions of the old user may take to end"
    )
    quiet_seconds: float = Field(
        default=30.0, ge=0, le=MOST_SECONDS, description="how long none may be seen before the old user is locked out"
    )


class Chosen(Output):
    """Who is who.

    Attributes:
        secret: which has the password.
        old: the user that is used now.
        new: the one that gets a password; the same where there is only one.
        versions: of the secret, that could be read before.
    """

    secret: str
    old: str
    new: str
    versions: tuple[str, ...]


class Given(Output):
    """The secret's version with the new password."""

    version: str


def login_is_known(run: Run) -> None:
    """The login is one of the target's."""
    asked = run.inputs(Asked).login
    names = [OPERATOR, *(login.name for login in run.target.logins)]
    run.require(f"The target has a login {asked}", f"it has {', '.join(names)}", "say login=…", holds=asked in names)


def users_are_alike(run: Run) -> None:
    """Both users of the login are there, with the same rights."""
    login = _login(run)
    wanted = (run.target.operator.user,) if login is None else login.users
    there = {user.name for user in run.tools.admin.users.list(run.target.instance)}
    absent = [user for user in wanted if user not in there]
    run.require(
        f"Users {', '.join(wanted)} are there",
        f"{', '.join(absent)} missing" if absent else "yes",
        "make them by the infrastructure's program, and run the migrate job, which makes them members",
        holds=not absent,
    )
    if login is None:
        return
    one, other = login.users
    found = [name for (name,) in run.tools.query(DIFFERENCES, one, other, one, other, one, other)]
    run.require(
        f"{one} and {other} have the same rights",
        f"not on {', '.join(found)}" if found else "yes",
        "run the migrate job, which makes both members of the same role (DB_ROLE_MEMBERS)",
        holds=not found,
    )


def secret_is_of_the_login(run: Run) -> None:
    """The secret's newest version is of one of the login's users, and not of somebody else's rotation since."""
    login = _login(run)
    if login is None:
        return
    used = _url(run, login.secret).username or "nobody"
    expected = (run.output(Chosen).new,) if run.done(Given) else login.users
    run.require(
        f"The newest version of {login.secret} is of {' or '.join(expected)}",
        f"of {used}",
        "somebody rotated since: begin anew" if run.done(Given) else "name its users in the target",
        holds=used in expected,
    )


def choose(run: Run) -> Chosen:
    """Find out which user is used now, and which one is idle."""
    login = _login(run)
    if login is None:
        operator = run.target.operator
        versions = tuple(run.tools.secrets.versions(operator.secret))
        return Chosen(secret=operator.secret, old=operator.user, new=operator.user, versions=versions)
    old = _url(run, login.secret).username
    (new,) = (user for user in login.users if user != old)
    versions = tuple(run.tools.secrets.versions(login.secret))
    run.find(f"One user of {login.name} is idle", Result.OK, f"{old} is used, {new} is idle")
    return Chosen(secret=login.secret, old=str(old), new=new, versions=versions)


def plan_choosing(run: Run) -> Change:
    """Who is who now."""
    chosen = choose(run)
    return Change(f"{chosen.old} is used", f"{chosen.new} is to get a password")


def give(run: Run) -> Given:
    """Give the idle user a password, try it, and let the secret's newest version say it."""
    chosen, login = run.output(Chosen), _login(run)
    earlier = _given_before(run, chosen, is_operator=login is None)
    if earlier is not None:
        return Given(version=earlier)
    # It exists here and in Secret Manager only: a step that was cut off makes another one.
    password = SecretStr(secrets.token_urlsafe(PASSWORD_BYTES))
    admin, stored = run.tools.admin, run.tools.secrets
    if login is None:
        operation = admin.users.update(run.target.instance, chosen.new, password=password)
        began = time.monotonic()
        run.wait(operation)
        version = stored.add(chosen.secret, password)
        seconds = time.monotonic() - began
        _try(run, chosen.new, password)
        run.find(
            "The password and the secret agree",
            Result.OK,
            f"for {seconds:.1f} s at most the secret was behind: a procedure that began then ended refused by the "
            "database, and is resumed",
        )
        return Given(version=version)
    url = _url(run, chosen.secret)
    run.wait(admin.users.update(run.target.instance, chosen.new, password=password))
    _try(run, chosen.new, password)
    renewed = url.set(username=chosen.new, password=password.get_secret_value())
    return Given(version=stored.add(chosen.secret, SecretStr(renewed.render_as_string(hide_password=False))))


def plan_giving(run: Run) -> Change:
    """Which version is the newest, and that there is another then."""
    chosen = choose(run)
    newest = chosen.versions[0].rpartition("/")[2] if chosen.versions else "none"
    return Change(f"the newest version is {newest}, of {chosen.old}", f"another one, of {chosen.new}")


def roll(run: Run) -> None:
    """Let the login's service start anew, if it has one, so that it reads the secret."""
    login = _login(run)
    if login is None or login.service is None:
        run.find(
            "Whoever uses the login reads the secret anew",
            Result.OK,
            "the target names no service to start anew; who holds the old password shows in the next step",
        )
        return
    revision = services.roll(run.tools, login.service, run.id)
    run.find("The service serves with the new password", Result.OK, f"revision {revision}")


def plan_rolling(run: Run) -> Change:
    """Which service."""
    login = _login(run)
    service = login.service if login else None
    return Change(service or "no service", "a new revision" if service else "nothing")


def drain(run: Run) -> None:
    """Wait until the old user has no session any more."""
    chosen, asked = run.output(Chosen), run.inputs(Asked)
    if chosen.old == chosen.new:
        run.find("Sessions of the operator", Result.OK, "they stay; new ones have the new password")
        return
    end = time.monotonic() + asked.drain_seconds
    quiet_since: float | None = None
    while quiet_since is None or time.monotonic() - quiet_since < asked.quiet_seconds:
        open_sessions = run.tools.query(SESSIONS, chosen.old)
        now = time.monotonic()
        if not open_sessions:
            quiet_since = quiet_since or now
        else:
            quiet_since = None
            run.progress(f"{len(open_sessions)} sessions of {chosen.old}")
            if now > end:
                raise _still_used(run, chosen.old, open_sessions)
        time.sleep(POLL_SECONDS)
    using = len(run.tools.query(SESSIONS, chosen.new))
    run.find(f"{chosen.old} has no session", Result.OK, f"none for {asked.quiet_seconds:g} s; {chosen.new} has {using}")


def plan_draining(run: Run) -> Change:
    """How many sessions there are."""
    chosen = choose(run)
    if chosen.old == chosen.new:
        return Change("sessions of the operator", "they stay")
    return Change(f"{len(run.tools.query(SESSIONS, chosen.old))} sessions of {chosen.old}", "none")


def lock_out(run: Run) -> None:
    """Give the old user a password that nobody knows. It is never dropped: the next rotation uses it again."""
    chosen = run.output(Chosen)
    if chosen.old == chosen.new:
        return
    # The run may have stood still since.
    open_sessions = run.tools.query(SESSIONS, chosen.old)
    if open_sessions:
        raise _still_used(run, chosen.old, open_sessions)
    nobodys = SecretStr(secrets.token_urlsafe(PASSWORD_BYTES))
    run.wait(run.tools.admin.users.update(run.target.instance, chosen.old, password=nobodys))
    run.find(f"{chosen.old} cannot come in", Result.OK, "its password is one that nobody knows")


def plan_locking(run: Run) -> Change:
    """Who is locked out."""
    chosen = choose(run)
    if chosen.old == chosen.new:
        return Change(chosen.old, ONE_USER)
    return Change(f"{chosen.old} comes in", f"{chosen.old} does not")


def disable(run: Run) -> None:
    """Disable the secret's older versions; each can be enabled again."""
    chosen, version = run.output(Chosen), run.output(Given).version
    readable = run.tools.secrets.versions(chosen.secret)
    old = [one for one in readable if one in chosen.versions and one != version]
    for one in old:
        run.tools.secrets.disable(one)
    names = ", ".join(one.rpartition("/")[2] for one in old) or "none was left"
    run.find(f"Only the newest version of {chosen.secret} can be read", Result.OK, f"disabled: {names}")


def plan_disabling(run: Run) -> Change:
    """Which versions can be read."""
    names = ", ".join(one.rpartition("/")[2] for one in choose(run).versions)
    return Change(f"versions that can be read: {names}", "the new one only")


def _login(run: Run) -> Login | None:
    """The application's login; None for the operator's."""
    asked = run.inputs(Asked).login
    return next((login for login in run.target.logins if login.name == asked), None)


def _url(run: Run, secret: str) -> URL:
    try:
        return make_url(run.tools.secrets.newest(secret).get_secret_value())
    except ArgumentError:
        # Its own words may have the password in them.
        message = f"the newest version of {secret} is no database URL; put one into it"
        raise RefusedError(message) from None


def _given_before(run: Run, chosen: Chosen, *, is_operator: bool) -> str | None:
    """The version that this step added when it was cut off after that, if it did."""
    newest = next(iter(run.tools.secrets.versions(chosen.secret)), None)
    if newest is None or newest in chosen.versions:
        return None
    if is_operator:
        password = run.tools.secrets.newest(chosen.secret)
    else:
        url = _url(run, chosen.secret)
        if url.username != chosen.new:
            code = "SECRET_CHANGED"
            message = f"somebody else added {newest} meanwhile; begin anew"
            raise FailedError(code, message)
        password = SecretStr(str(url.password))
    _try(run, chosen.new, password)
    return newest


def _try(run: Run, user: str, password: SecretStr) -> None:
    """See that a password lets its user in, who then reads what it may.

    Raises:
        FailedError: LOGIN_REFUSED.
    """
    try:
        with run.tools.connect(user=user, password=password) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute(TABLES)
            tables = cursor.fetchall()
            for name, _ in tables:
                cursor.execute(f"SELECT FROM {name} LIMIT 0")  # quoted by the server
    except psycopg2.Error as error:
        code = "LOGIN_REFUSED"
        message = f"{user} with its new password: {first_line(error)}"
        raise FailedError(code, message) from None
    writable = sum(1 for _, may_write in tables if may_write)
    run.find(
        f"{user} comes in with its new password",
        Result.OK if tables else Result.FAULT,
        f"reads {len(tables)} tables, may write to {writable}",
        "" if tables else "run the migrate job: it has no rights on any table",
    )


def _still_used(run: Run, user: str, open_sessions: list[tuple[object, ...]]) -> FailedError:
    for pid, application, address, since in open_sessions:
        run.find(
            f"No session of {user}",
            Result.FAULT,
            f"process {pid}, {application}, from {address}, since {since}",
            f"restart what that is, or end it: SELECT pg_terminate_backend({pid}); then resume",
        )
    code = "SESSIONS_REMAIN"
    message = f"{len(open_sessions)} sessions of {user}, whose password still works; end them and resume {run.id}"
    return FailedError(code, message)


PROCEDURE = Procedure(
    name="rotate-password",
    title="Give a login another password while it is used",
    when="On the calendar's day, when somebody leaves, and at once when a password may be known.",
    inputs=Asked,
    preconditions=(instance_serves, login_is_known, secret_is_of_the_login, users_are_alike),
    steps=(
        Step("choose", choose, plan_choosing),
        Step("give", give, plan_giving, changes=("users.update", "secretmanager.versions.add")),
        Step("roll", roll, plan_rolling, changes=("run.services.patch",)),
        Step("drain", drain, plan_draining),
        Step("lock-out", lock_out, plan_locking, changes=("users.update",)),
        Step("disable", disable, plan_disabling, changes=("secretmanager.versions.disable",)),
    ),
)
