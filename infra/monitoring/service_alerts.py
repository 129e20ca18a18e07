"""Alerts of the API, its jobs and its schedules. There are none before there is an image."""

from collections.abc import Iterable, Iterator

from infra.config import StackConfig
from infra.monitoring.alert import DAY, HOUR, MINUTE, Alert, BurnRate, LogMatch, Query, Severity, Threshold
from infra.monitoring.published import (
    BACKUP_AGE,
    CACHE_HIT_RATIO,
    POOL_UTILIZATION,
    QUERY_COUNT,
    QUERY_P95,
    QUERY_SLOW_COUNT,
    SECRET_OVERDUE,
)
from infra.monitoring.series import Series, promql_name

# What answers a job that failed, where it is not that the database cannot be reached.
ANSWERS = {"migrate": "repair-migrations", "verify_backup": "verify-backup"}
# What it means of some, and what not to do then.
MEANS = {
    "migrate": (
        "The new image does not serve, since its migration failed; the one before still does.",
        "start it again before its cause is mended. Then write one more `jobs.migrate.attempt`, and `pulumi up`.",
    ),
    "verify_backup": (
        "It ended with 5: the newest backup is not whole; or with another code: nobody knows whether it is.",
        None,
    ),
}
UPTIME = Series(
    "monitoring.googleapis.com/uptime_check/check_passed",
    "uptime_url",
    {"metric.labels.check_id": "$check"},
    "ALIGN_NEXT_OLDER",
    "REDUCE_COUNT_FALSE",
    ("resource.labels.host",),
)


def alerts(config: StackConfig, jobs: Iterable[str]) -> Iterator[Alert]:
    """Of the API, and of what is published by it.

    Args:
        config: the stack's settings.
        jobs: which are made, by their settings' names.
    """
    if config.service.image is None:
        return
    yield from _queries(config)
    yield from _objective()
    yield from _secrets(config)
    yield from map(_job, jobs)
    yield Alert(
        "uptime",
        "The API does not answer from outside",
        Severity.CRITICAL,
        "diagnose-connection",
        # As the console writes it: more than one region, within two of the longest periods.
        (Threshold(UPTIME, 1, 20 * MINUTE, lasting=MINUTE),),
        "`/health/ready` did not answer 200 to checks from more than one region.",
        "`curl https://$host/health/live`. It answers: `/health/ready` names what does not. It does not: the "
        "certificate, the load balancer, or the API's log.",
    )
    yield Alert(
        "schedule-failed",
        "A schedule could not start what it starts",
        Severity.ERROR,
        "diagnose-connection",
        LogMatch(
            'log_id("cloudscheduler.googleapis.com/executions")\n'
            'resource.type="cloud_scheduler_job"\nseverity>="ERROR"',
            {"schedule": "EXTRACT(resource.labels.job_id)"},
        ),
        "Cloud Scheduler was refused, or had no answer: the job did not run at all.",
        "The incident names the schedule, its entry's `jsonPayload.status` why: PERMISSION_DENIED is the identity, "
        "UNAVAILABLE the API.",
    )
    yield Alert(
        "figures-missing",
        "The platform's own figures no longer come",
        Severity.ERROR,
        "diagnose-connection",
        # No value at all is not below any threshold: the alerts on these figures would be silent.
        Query(
            f"absent_over_time({promql_name(POOL_UTILIZATION.type)}[15m]) "
            f"or absent_over_time({promql_name(BACKUP_AGE.type)}[1h])",
            lasting=30 * MINUTE,
        ),
        "Nothing was published for a while: until it is, the alerts on the pool, on queries, the cache, backups and "
        "secrets are blind.",
        "`gcloud scheduler jobs list --project $project --location $region`: `$prefix-publish-database-metrics` asks "
        "the API, `$prefix-publish-metrics` starts the job of that name. Then that one's log.",
    )


def _queries(config: StackConfig) -> Iterator[Alert]:
    limits = config.monitoring.alerts
    yield Alert(
        "pool",
        f"An instance's connections are above {limits.pool_utilization:.0%} in use",
        Severity.ERROR,
        "diagnose-connection",
        (Threshold(POOL_UTILIZATION.series("ALIGN_MEAN", "REDUCE_MAX"), limits.pool_utilization, 5 * MINUTE),),
        "Requests wait for a connection, and are refused with 503 when they wait too long.",
        "`https://$host/api/v1/monitoring/database/pool`, then `/queries` (a key with `platform:read`): slow "
        "statements hold connections longest.",
        avoid="only raise `service.pool_max`: the same statements then wait in the database.",
    )
    yield Alert(
        "query-p95",
        f"5 of 100 statements take more than {limits.p95_ms} ms",
        Severity.WARNING,
        "diagnose-connection",
        (Threshold(QUERY_P95.series("ALIGN_MEAN", "REDUCE_MAX"), limits.p95_ms, 5 * MINUTE),),
        "The database answers slowly, or the way to it is slow.",
        "`https://$host/api/v1/monitoring/database/queries` (a key with `platform:read`); Query insights in the "
        "console.",
    )
    yield Alert(
        "slow-queries",
        f"More than {limits.slow_query_ratio:.0%} of the statements are slow",
        Severity.WARNING,
        "diagnose-connection",
        (
            Threshold(
                QUERY_SLOW_COUNT.series("ALIGN_DELTA", "REDUCE_SUM"),
                limits.slow_query_ratio,
                10 * MINUTE,
                of=QUERY_COUNT.series("ALIGN_DELTA", "REDUCE_SUM"),
            ),
        ),
        "Many statements take more than 200 ms, not only the rare one.",
        "`https://$host/api/v1/monitoring/database/queries` (a key with `platform:read`); the API's log has a line for "
        "each, with its name.",
    )
    yield Alert(
        "cache-hits",
        f"The cache answers less than {limits.cache_hit_ratio:.0%} of its reads",
        Severity.WARNING,
        "diagnose-connection",
        (Threshold(CACHE_HIT_RATIO.series("ALIGN_MEAN", "REDUCE_MEAN"), limits.cache_hit_ratio, HOUR, is_below=True),),
        "Answers stay right, but come from the database. After a release or a restart it ends by itself.",
        "`curl https://$host/health/ready` says whether the cache answers; the dashboard whether its memory is full.",
    )


def _objective() -> Iterator[Alert]:
    # https://sre.google/workbook/alerting-on-slos: 2% of a month's budget in an hour, 5% in six.
    for name, severity, rate, window, short in (
        ("budget-fast", Severity.CRITICAL, 14.4, HOUR, 5 * MINUTE),
        ("budget-slow", Severity.WARNING, 6.0, 6 * HOUR, 30 * MINUTE),
    ):
        yield Alert(
            name,
            f"Errors use up the budget {rate:g} times too fast",
            severity,
            "diagnose-connection",
            BurnRate(rate, window, short),
            f"Requests have failed with 5xx for up to {window // HOUR} h; at this rate a month's budget is gone in "
            f"{30 / rate:.0f} days.",
            "`curl https://$host/health/ready` names the dependency that fails; the dashboard has requests by status. "
            "Since a release: back to the revision before, until the next `pulumi up`: `gcloud run services "
            "update-traffic $service --project $project --region $region --to-revisions REVISION=100`.",
        )


def _secrets(config: StackConfig) -> Iterator[Alert]:
    days = config.secrets.overdue_days
    yield Alert(
        "secret-overdue",
        f"A secret has been due to be replaced for more than {days} days",
        Severity.WARNING,
        "rotate-password",
        (Threshold(SECRET_OVERDUE.series("ALIGN_MIN", "REDUCE_MIN", "metric.labels.secret"), days * DAY, 30 * MINUTE),),
        "Its reminder came, and nobody replaced it. The incident's label says which. Nothing fails yet.",
        "`gcloud secrets versions list SECRET --project $project`: when the newest version was made. The procedure "
        "replaces `operator-password`, and with `login=reader` `reader-url`. For `migrator-url` (and `verifier-url`): "
        "`pulumi up --stack $stack --replace '**RandomPassword::$prefix-user-holdfast_migrator'` (`_verifier`). For "
        "`cache-url`: turn AUTH of the cache off and on in a quiet hour, then `pulumi up --refresh`.",
        ("login=operator",),
    )


def _job(name: str) -> Alert:
    series = Series(
        "run.googleapis.com/job/completed_execution_count",
        "cloud_run_job",
        {"resource.labels.job_name": f"$job_{name}", "metric.labels.result": "failed"},
        "ALIGN_DELTA",
        "REDUCE_SUM",
    )
    shown = name.replace("_", "-")
    means, avoid = MEANS.get(name, ("An execution failed, after its retries. The next one may succeed.", None))
    return Alert(
        f"job-{shown}-failed",
        f"The job {shown} failed",
        Severity.ERROR,
        ANSWERS.get(name, "diagnose-connection"),
        (Threshold(series, 0, 5 * MINUTE),),
        means,
        f"`gcloud run jobs executions list --project $project --region $region --job $job_{name} --limit 5`, and its "
        f"log: `gcloud logging read resource.labels.job_name=$job_{name} --project $project --limit 50`.",
        avoid=avoid,
    )
