"""`python -m runtime verify-backup`: the newest backup, restored, looked at, and the verdict written down.

It never changes the source instance: of that it reads, by the Admin API and as a login of its database. The throwaway
instance is deleted whatever happens; one that a killed run left behind is deleted by a run two hours later.
"""

import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as PostgresConnection  # noqa: N812  # it is a class
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import BackupRun, Instance
from runtime.db.engine import engine_with, make_engine
from runtime.errors import HoldfastError, first_line
from runtime.settings import Settings
from runtime.verification import moments, names, source, throwaway
from runtime.verification.checks import Check, Code, codes_of, failed, passed, unknown
from runtime.verification.expectation import Expectation
from runtime.verification.gate import examine
from runtime.verification.place import UnreachableError, address_of, port_at
from runtime.verification.record import Verification, last_passed, record

APPLICATION_NAME = "holdfast-verification"
# Any number, the same for all who verify.
ADVISORY_LOCK = 4_867_143_926

NO_LOGIN_YET = "give MIGRATION_DATABASE_URL the operator's login, and this job a way to the instance's network"

Progress = Callable[[str], None]


class AnotherVerificationError(HoldfastError):
    """Another verification of this database is under way."""


class UnrecordedError(HoldfastError):
    """A verdict could not be written down."""


def verify_backup(settings: Settings, *, progress: Progress) -> Verification:
    """Verify the newest backup.

    Args:
        settings: which instance's; the logins; what is expected.
        progress: is told how far it is.

    Returns:
        What came out, which has been written down.

    Raises:
        HoldfastError: it could not begin: a setting, a credential, or another verification. Nothing was made.
        UnrecordedError: the source's database does not answer at the end; the message has the verdict.
        DBAPIError: it does not answer at the beginning.
    """
    project, instance = settings.verified_instance
    endpoint = settings.cloud_sql_admin_endpoint
    started_at = dt.datetime.now(dt.UTC)
    engine = make_engine(settings, application_name=APPLICATION_NAME, duty="jobs")
    try:
        with (
            engine.connect() as connection,
            _alone(connection),
            CloudSqlAdmin(project, credentials=credentials_for(endpoint), endpoint=endpoint) as admin,
        ):
            backup, checks = _Verifier(settings, admin, connection, progress).verify(instance)
            verification = Verification(instance, backup, started_at, dt.datetime.now(dt.UTC), checks)
        _write_down(engine, verification)
    finally:
        engine.dispose()
    return verification


def _write_down(engine: Engine, verification: Verification) -> None:
    try:
        with engine.begin() as connection:
            record(connection, verification)
    except DBAPIError as error:
        codes = f" ({', '.join(codes_of(verification.checks))})" if codes_of(verification.checks) else ""
        verdict = f"{verification.verdict.value}{codes}"
        message = f"the backup's verification {verdict} could not be written down: {first_line(error.orig or error)}"
        raise UnrecordedError(message) from None


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold the verifications' lock for as long as the connection lives: a sweep would meet the other's instance."""
    if not connection.scalar(text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")):
        message = "another verification of this database is under way; try again when it has ended"
        raise AnotherVerificationError(message)
    # The lock is the session's. Nothing stays open for hours.
    connection.rollback()
    yield


class _Verifier:
    def __init__(self, settings: Settings, admin: CloudSqlAdmin, connection: Connection, progress: Progress) -> None:
        self._settings = settings
        self._admin = admin
        self._source = connection
        self._progress = progress
        self._checks: list[Check] = []

    def verify(self, instance: str) -> tuple[BackupRun | None, list[Check]]:
        """Sweep, restore, look, delete."""
        now = dt.datetime.now(dt.UTC)
        try:
            self._sweep(instance, now)
            backup = throwaway.newest_backup(self._admin, instance)
            origin = self._admin.instances.get(instance)
        except CloudSqlError as error:
            return None, [unknown(names.BACKUP, str(error), names.TRY_AGAIN)]
        if backup is None or backup.start_time is None or backup.end_time is None:
            return None, [failed(names.BACKUP, Code.BACKUP_ABSENT, "none that succeeded", names.TAKE_ONE)]
        limit = dt.timedelta(hours=self._settings.verify_stale_hours)
        self._checks.append(moments.backup_age(backup.end_time, now, limit=limit))
        expected = self._expectation(instance, backup.start_time, backup.end_time)
        name = throwaway.new_name(instance)
        self._progress(f"backup {backup.id} of {instance}, ended {backup.end_time.isoformat()}, into {name}")
        try:
            self._restore_and_look(origin, backup, name, expected)
        finally:
            # Also when this process is told to end.
            self._checks.append(self._deleted(name))
        return backup, self._checks

    def _sweep(self, instance: str, now: dt.datetime) -> None:
        gone, left = throwaway.sweep(self._admin, instance, now=now, progress=self._progress)
        for name in gone:
            self._progress(f"{name} was left behind by another run; it is deleted")
        for name in left:
            self._progress(f"{name} was left behind by another run, and is there still; the next run tries it again")

    def _expectation(self, instance: str, began_at: dt.datetime, ended_at: dt.datetime) -> Expectation:
        last = last_passed(self._source, instance)
        self._source.rollback()
        try:
            return source.expectation(
                _plain(self._source),
                began_at=began_at,
                ended_at=ended_at,
                tolerance=self._settings.verify_volume_drift,
                minimums=self._settings.verify_minimum_rows,
                last=last,
            )
        except psycopg2.Error as error:
            # What the code knows can still be seen.
            self._checks.append(
                unknown(names.EXPECTED, first_line(error), "try again when the source's database answers")
            )
            return Expectation(minimums=self._settings.verify_minimum_rows)

    def _restore_and_look(self, origin: Instance, backup: BackupRun, name: str, expected: Expectation) -> None:
        began = time.monotonic()
        try:
            restored = throwaway.restore(self._admin, origin, backup, name, self._progress)
        except throwaway.RestoreFailedError as error:
            self._checks.append(failed(names.RESTORED, Code.RESTORE_FAILED, str(error), names.VERIFY_ANOTHER))
            return
        except CloudSqlError as error:
            self._checks.append(unknown(names.RESTORED, str(error), names.TRY_AGAIN))
            return
        self._checks.append(passed(names.RESTORED, f"into {name}"))
        if restored.state != "RUNNABLE":
            self._checks.append(failed(names.RUNNABLE, Code.NOT_RUNNABLE, restored.state, names.SEE_OPERATIONS))
            return
        self._checks.append(passed(names.RUNNABLE, restored.state))
        with tempfile.TemporaryDirectory(prefix="holdfast-ca-") as folder:
            self._look(restored, expected, Path(folder) / "authority.pem", began)

    def _look(self, restored: Instance, expected: Expectation, authority: Path, began: float) -> None:
        settings = self._settings
        try:
            port = port_at(settings.cloud_sql_admin_endpoint, self._admin.project, restored.name)
            operator, application = (
                self._engine(address_of(restored, login, authority, port=port))
                for login in (settings.url_for("migration"), settings.url)
            )
        except UnreachableError as error:
            self._checks.append(unknown(names.CONNECTED, str(error), NO_LOGIN_YET))
            return
        self._checks.append(_connects(application))
        limit = settings.verify_rto_seconds
        self._checks.append(moments.recovery_time(time.monotonic() - began, limit=limit))
        try:
            with operator.connect() as connection:
                self._checks.append(passed(names.CONNECTED, f"as {operator.url.username}"))
                self._checks += examine(_plain(connection), expected, progress=self._progress)
        except DBAPIError as error:
            self._checks.append(_unreachable(first_line(error.orig or error), settings.url_for("migration")))
        finally:
            operator.dispose()
            application.dispose()

    def _engine(self, url: URL) -> Engine:
        return engine_with(self._settings, url, application_name=APPLICATION_NAME)

    def _deleted(self, name: str) -> Check:
        action = f"gcloud sql instances delete {name}; a run in two hours tries it again"
        try:
            is_gone = throwaway.delete(self._admin, name, self._progress)
        except CloudSqlError as error:
            return unknown(names.DELETED, str(error), action)
        return (
            passed(names.DELETED, name)
            if is_gone
            else failed(names.DELETED, Code.THROWAWAY_LEFT, f"{name} is there", action)
        )


def _connects(engine: Engine) -> Check:
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        found = first_line(error.orig or error)
        return failed(names.LOGIN, Code.APPLICATION_REFUSED, found, names.SET_PASSWORD)
    return passed(names.LOGIN, f"as {engine.url.username}")


def _unreachable(found: str, login: URL) -> Check:
    if f'database "{login.database}" does not exist' in found:
        return failed(names.CONNECTED, Code.DATABASE_ABSENT, found, "restore another backup")
    return unknown(names.CONNECTED, found, NO_LOGIN_YET)


def _plain(connection: Connection) -> PostgresConnection:
    found = connection.connection.driver_connection
    assert isinstance(found, PostgresConnection)  # noqa: S101  # every engine here is psycopg2's
    return found
