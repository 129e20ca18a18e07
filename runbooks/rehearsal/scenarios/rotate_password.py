"""rotate-password under an application that writes all the time: not one write fails."""

from pathlib import Path

import psycopg2
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from runbooks.engine.records import Ended
from runbooks.procedures.rotate_password import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage
from runbooks.rehearsal.writer import COUNT, Writer

USERS = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = %s"

# By the stage's folder: what `prepare` leaves for `check`.
_before: dict[Path, tuple[Writer, SecretStr]] = {}


def prepare(stage: Stage) -> Asked:
    """Somebody who knew the password has left, and the application is at work."""
    login = stage.target.logins[0]
    _before[stage.folder] = (
        Writer(stage, login, "rotation").start(),
        stage.tools.secrets.newest(login.secret),
    )
    return Asked(login=login.name, drain_seconds=30, quiet_seconds=0.3)


def check(stage: Stage, ended: Ended) -> None:
    """All writes are there, by the other user in the end; the old password and its version are of no use."""
    writer, old = _before.pop(stage.folder)
    users = stage.query(USERS, writer.name)
    writer.stop()
    login = stage.target.logins[0]
    url, renewed = (make_url(text.get_secret_value()) for text in (old, stage.tools.secrets.newest(login.secret)))
    stage.expect("no write failed", holds=not writer.failures, found=writer.failures[:1])
    rows = stage.query(COUNT, writer.name)[0][0]
    stage.expect("each write is there", holds=rows == writer.written > 0, found=f"{rows} of {writer.written}")
    stage.expect("the application is the other user", holds=users == [(renewed.username,)] != [(url.username,)])
    versions = stage.tools.secrets.versions(login.secret)
    stage.expect("one version can be read", holds=len(versions) == 1, found=versions)
    stage.expect("the old password does not work", holds=not _comes_in(stage, url.username, url.password))
    stage.expect("the new one does", holds=_comes_in(stage, renewed.username, renewed.password))
    stage.expect("the journal has no password", holds=str(renewed.password) not in str(ended))


def _comes_in(stage: Stage, user: str | None, password: object) -> bool:
    try:
        with stage.tools.connect(user=user, password=SecretStr(str(password))):
            return True
    except psycopg2.OperationalError:
        return False


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
