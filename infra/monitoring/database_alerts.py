"""Alerts of the database server."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from infra.config import StackConfig
from infra.monitoring.alert import DAY, HOUR, MINUTE, Alert, LogMatch, Severity, Threshold
from infra.monitoring.published import BACKUP_AGE, PARTITIONS_MONTHS_AHEAD, VERIFICATION_AGE, VERIFICATION_PASSED
from infra.monitoring.series import instance

SYSTEM_INSIGHTS = "the instance's System insights in the console"


def alerts(config: StackConfig, replicas: Mapping[str, str]) -> Iterator[Alert]:
    """Of the primary, its replicas, its backups, its partitions.

    Args:
        config: the stack's settings.
        replicas: each one's variable.
    """
    yield from _server(config)
    yield from _replication(config, replicas)
    yield from _backups(config)
    yield from _partitions(config)


def _server(config: StackConfig) -> Iterator[Alert]:
    limits = config.monitoring.alerts
    has_standby = config.database.availability == "REGIONAL"
    yield Alert(
        "database-down",
        "The database does not answer",
        Severity.CRITICAL,
        "failover" if has_standby else "diagnose-connection",
        (Threshold(instance("up", "ALIGN_MAX"), 1, 3 * MINUTE, is_below=True),),
        "PostgreSQL on the primary has not answered Cloud SQL for three minutes. "
        + (
            "Its standby takes over by itself within about a minute: this is longer."
            if has_standby
            else "It has no standby: it comes back when Cloud SQL has restarted it."
        ),
        "`gcloud sql operations list --project $project --instance $instance --limit 5`: an operation that runs ends "
        "by itself.",
        avoid="restart it while it recovers: it would begin anew.",
    )
    yield Alert(
        "cpu",
        f"The database's CPU is above {limits.cpu_utilization:.0%}",
        Severity.WARNING,
        "diagnose-connection",
        (Threshold(instance("cpu/utilization"), limits.cpu_utilization, 10 * MINUTE),),
        "The machine has been busy for ten minutes; statements begin to wait.",
        "Query insights in the console, by load; `GET /api/v1/monitoring/database/queries`.",
    )
    yield Alert(
        "memory",
        f"The database's memory is above {limits.memory_utilization:.0%}",
        Severity.WARNING,
        "diagnose-connection",
        (Threshold(instance("memory/utilization"), limits.memory_utilization, 10 * MINUTE),),
        "When none is left, PostgreSQL is killed and starts again: every connection is lost.",
        f"{SYSTEM_INSIGHTS}: connections, and temporary data.",
    )
    yield Alert(
        "disk",
        f"The database's disk is above {limits.disk_utilization:.0%}",
        Severity.ERROR,
        "diagnose-connection",
        (Threshold(instance("disk/utilization"), limits.disk_utilization, 5 * MINUTE),),
        "The disk grows by itself before this, up to `database.disk_limit_gb`: it has reached that limit or grows "
        "too slowly. A full disk stops the instance.",
        f"{SYSTEM_INSIGHTS}: disk by type. What a slow replica or an unused slot holds back counts too. More room: "
        "`pulumi config set --stack $stack --path database.disk_limit_gb GB`, then `pulumi up --stack $stack`.",
        avoid="delete rows to make room: that writes log first, and frees nothing before a vacuum.",
    )
    yield Alert(
        "transaction-ids",
        f"Transaction ids are used up to {limits.transaction_id_utilization:.0%}",
        Severity.ERROR,
        "diagnose-connection",
        (Threshold(instance("postgresql/transaction_id_utilization"), limits.transaction_id_utilization, 30 * MINUTE),),
        "Vacuum does not keep up. When all are used, PostgreSQL takes no more writes.",
        "What holds vacuum up: old transactions (`pg_stat_activity.backend_xmin`), prepared ones, unused slots. End "
        "it, and vacuum the oldest tables.",
        avoid="run VACUUM FULL: it locks tables, and uses ids up itself.",
    )


def _replication(config: StackConfig, replicas: Mapping[str, str]) -> Iterator[Alert]:
    if not replicas:
        return
    limit = config.monitoring.alerts.replication_lag_seconds
    lags = [
        replace(instance("replication/replica_lag"), where={"resource.labels.database_id": f"${variable}"})
        for variable in replicas.values()
    ]
    yield Alert(
        "replication-lag",
        f"A replica is more than {limit} s behind, or follows no more",
        Severity.ERROR,
        "create-replica",
        (
            *(Threshold(lag, limit, 5 * MINUTE) for lag in lags),
            # Google says so of a replica that does not follow: -1.
            *(Threshold(lag, 0, 5 * MINUTE, is_below=True) for lag in lags),
        ),
        "What was written since would be lost if the primary's region were lost now.",
        f"{SYSTEM_INSIGHTS}, of the replica: CPU and disk. A long query on it holds replay up. The procedure makes one "
        "where none is left.",
        avoid="promote it while the primary serves: what it has not received would be lost.",
    )


def _backups(config: StackConfig) -> Iterator[Alert]:
    limits = config.monitoring.alerts
    if not config.database.backups.enabled:
        return
    yield Alert(
        "backup-failed",
        "A backup failed",
        Severity.ERROR,
        "backup-now",
        # https://cloud.google.com/sql/docs/postgres/backup-recovery/backups, "automated backups", as of 2026-11.
        LogMatch(
            'log_id("cloudaudit.googleapis.com/system_event")\n'
            'resource.type="cloudsql_database"\n'
            'resource.labels.database_id="$database"\n'
            'protoPayload.methodName="cloudsql.instances.automatedBackup"\n'
            'protoPayload.metadata.windowStatus=~"FAILED|SKIPPED"',
            {"status": "EXTRACT(protoPayload.metadata.windowStatus)"},
        ),
        "Tonight's backup was not taken. Cloud SQL tries again within its window of four hours.",
        "`gcloud sql backups list --project $project --instance $instance --limit 5`.",
    )
    if config.service.image is None:
        return
    yield Alert(
        "backup-stale",
        f"The newest backup is older than {limits.backup_age_hours} h",
        Severity.CRITICAL,
        "backup-now",
        (Threshold(BACKUP_AGE.series("ALIGN_MIN", "REDUCE_MIN"), limits.backup_age_hours * HOUR, 30 * MINUTE),),
        "No backup has succeeded for longer than a daily one may take.",
        "`gcloud sql backups list --project $project --instance $instance --limit 5`, and the operations that run: "
        "`gcloud sql operations list --project $project --instance $instance --limit 5`.",
        avoid="migrate, release or restore before there is one.",
    )
    yield Alert(
        "verification-stale",
        f"No backup was verified for {limits.verification_age_days} days, or the last one failed",
        Severity.ERROR,
        "verify-backup",
        (
            Threshold(
                VERIFICATION_AGE.series("ALIGN_MIN", "REDUCE_MIN"), limits.verification_age_days * DAY, 30 * MINUTE
            ),
            Threshold(VERIFICATION_PASSED.series("ALIGN_NEXT_OLDER", "REDUCE_COUNT_FALSE"), 0, 30 * MINUTE),
        ),
        "A backup that nobody restored is not known to be one.",
        "The table `backup_verifications`, newest row: its verdict's codes say what is missing. No row of this week: "
        "the log of the job.",
    )


def _partitions(config: StackConfig) -> Iterator[Alert]:
    if config.service.image is None:
        return
    limits = config.monitoring.alerts
    yield Alert(
        "partitions-missing",
        f"system_metrics has partitions for less than {limits.partitions_months_ahead} months",
        Severity.ERROR,
        "diagnose-connection",
        (
            Threshold(
                PARTITIONS_MONTHS_AHEAD.series("ALIGN_MIN", "REDUCE_MIN"),
                limits.partitions_months_ahead,
                30 * MINUTE,
                is_below=True,
            ),
        ),
        "The job that makes them three months ahead does not succeed. Metrics of a month without one wait in "
        "`system_metrics_default`, and move when it does.",
        "`gcloud run jobs executions list --project $project --region $region --job $job_partitions --limit 5`, and "
        "the last one's log.",
    )
