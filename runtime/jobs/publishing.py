"""`python -m runtime publish-metrics`: what concerns the whole platform, written to Cloud Monitoring.

Each part is asked for itself: what one cannot tell holds none of the others up. It has one series, whoever runs it.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from runtime.cloudsql.errors import UnexpectedAnswerError
from runtime.db.engine import make_engine
from runtime.errors import ConfigurationError, HoldfastError, first_line
from runtime.jobs.rotation import overdue
from runtime.observability import published
from runtime.observability.place import Place
from runtime.observability.published import CATALOGUE, Reading, reading
from runtime.platform.models import BackupVerification
from runtime.settings import Settings
from runtime.verification.checks import Verdict
from runtime.verification.throwaway import newest_backup

JOB = "publish-metrics"
# Another execution goes on where this one ended.
TASK = "0"
SECONDS = 10.0
# A job that comes again in a quarter of an hour has no patience.
PATIENCE = 30.0

# As `ensure_metric_partitions` names them; more than anyone may have made ahead.
_MONTHS_AHEAD = text(r"""
    SELECT min(n) - 1 FROM generate_series(0, 36) AS n
    WHERE to_regclass(to_char(date_trunc('month', now()) + make_interval(months => n), '"system_metrics_"YYYY_MM'))
          IS NULL
""")


@dataclass(frozen=True)
class Outcome:
    """What was written, and what could not be."""

    readings: list[Reading]
    failures: list[str]
    described: int


def publish_platform(settings: Settings) -> Outcome:
    """Write the platform's figures, and see that every metric is described.

    Raises:
        ConfigurationError: no project is named.
        PublishingError: Cloud Monitoring did not take them.
    """
    # Its libraries take a while to import; other commands should not wait for them.
    from runtime.observability import cloud_monitoring  # noqa: PLC0415

    place = Place.of(settings, job=JOB, task_id=TASK)
    if place is None:
        message = "GOOGLE_CLOUD_PROJECT: not set; write the project whose Cloud Monitoring takes the metrics"
        raise ConfigurationError(message)
    described = cloud_monitoring.describe(place, CATALOGUE.values(), seconds=SECONDS)
    readings, failures = _gathered(settings, place.project)
    if readings:
        at = time.time()
        cloud_monitoring.write(place, readings, began_at=at, at=at, seconds=SECONDS)
    return Outcome(readings, failures, len(described))


def _gathered(settings: Settings, project: str) -> tuple[list[Reading], list[str]]:
    readings: list[Reading] = []
    failures: list[str] = []
    engine = make_engine(settings, application_name="holdfast-metrics", duty="jobs")

    def gather(part: Callable[[], Iterable[Reading]]) -> None:
        try:
            readings.extend(part())
        except HoldfastError as error:
            failures.append(str(error))
        except DBAPIError as error:
            failures.append(f"the database: {first_line(error.orig or error)}")

    now = dt.datetime.now(dt.UTC)
    try:
        gather(lambda: _backup(settings, now))
        gather(lambda: _verification(settings, engine, now))
        gather(lambda: _partitions(engine))
        for secret in settings.rotated_secrets:
            gather(partial(_secret, settings, project, secret, now))
    finally:
        engine.dispose()
    return readings, failures


def _backup(settings: Settings, now: dt.datetime) -> list[Reading]:
    with _admin(settings) as (admin, instance):
        newest = newest_backup(admin, instance)
        ended = newest.end_time if newest else None
        since = ended or _made_at(admin, instance)
    return [reading(published.BACKUP_AGE, (now - since).total_seconds())]


def _verification(settings: Settings, engine: Engine, now: dt.datetime) -> list[Reading]:
    _, instance = settings.verified_instance
    with engine.connect() as connection:
        newest = connection.execute(
            select(BackupVerification.ended_at, BackupVerification.verdict)
            .where(BackupVerification.instance == instance)
            .order_by(BackupVerification.ended_at.desc())
            .limit(1)
        ).one_or_none()
    if newest is not None:
        return [
            reading(published.VERIFICATION_AGE, (now - newest.ended_at).total_seconds()),
            reading(published.VERIFICATION_PASSED, newest.verdict == Verdict.PASSED.value),
        ]
    with _admin(settings) as (admin, instance):
        since = _made_at(admin, instance)
    return [reading(published.VERIFICATION_AGE, (now - since).total_seconds())]


def _partitions(engine: Engine) -> list[Reading]:
    with engine.connect() as connection:
        return [reading(published.PARTITIONS_MONTHS_AHEAD, connection.execute(_MONTHS_AHEAD).scalar_one())]


def _secret(settings: Settings, project: str, secret: str, now: dt.datetime) -> list[Reading]:
    late = overdue(
        project,
        secret,
        period=dt.timedelta(days=settings.secret_rotation_days),
        now=now,
        endpoint=settings.secret_manager_endpoint,
    )
    return [reading(published.SECRET_OVERDUE, late.total_seconds(), secret=secret)]


@contextmanager
def _admin(settings: Settings) -> Iterator[tuple[CloudSqlAdmin, str]]:
    project, instance = settings.verified_instance
    endpoint = settings.cloud_sql_admin_endpoint
    with CloudSqlAdmin(
        project, credentials=credentials_for(endpoint), endpoint=endpoint, patience=PATIENCE, request_timeout=SECONDS
    ) as admin:
        yield admin, instance


def _made_at(admin: CloudSqlAdmin, instance: str) -> dt.datetime:
    made_at = admin.instances.get(instance).create_time
    if made_at is None:
        about, what = f"instance {instance}", "it has no createTime"
        raise UnexpectedAnswerError(about, what)
    return made_at
