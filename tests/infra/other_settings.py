"""Another value of each setting, and the place in the plan where it shows: a table for test_settings_matter.py."""

from dataclasses import dataclass
from typing import Any

from infra.sections.jobs import JobsConfig
from tests.contract.plans import DIGEST, IMAGE

OTHER_IMAGE = IMAGE.replace(DIGEST, DIGEST[::-1])
PRIMARY, REPLICA = "sql.DatabaseInstance/holdfast-database", "sql.DatabaseInstance/holdfast-database-dr"
API, CACHE = "cloudrunv2.Service/holdfast-api", "redis.Instance/holdfast-cache"
CONTAINER, TASK = "template.containers[0]", "template.template.containers[0]"


@dataclass(frozen=True)
class Setting:
    """Another value of a setting.

    Args:
        value: as a stack's file would have it.
        where: the resource that it changes: MODULE.TYPE/NAME.
        path: of the input; "" is the resource itself.
        after: what that is then, or what is in its text; None where it is not there any more.
    """

    value: str
    where: str
    path: str
    after: Any


def alert(value: str, name: str, after: float) -> Setting:
    where = f"monitoring.AlertPolicy/holdfast-{name}"
    return Setting(value, where, "conditions[0].conditionThreshold.thresholdValue", after)


def variable(value: str, name: str, after: str | None = None) -> Setting:
    return Setting(value, API, f"{CONTAINER}.envs[{name}].value", after or value)


def of_job(name: str) -> dict[str, Setting]:
    """The command is the job's name but for the migration's, which no clock starts."""
    is_migration = name == "migrate"
    command = f"other-{name.replace('_', '-')}"
    job = f"cloudrunv2.Job/holdfast-{'migrate' if is_migration else command}"
    found = {
        "command": Setting(command, job, f"{TASK}.args[0]", command),
        "options": Setting('["--other"]', job, f"{TASK}.args[1]", "--other"),
        "timeout_seconds": Setting("777", job, "template.template.timeout", "777s"),
        "retries": Setting("2", job, "template.template.maxRetries", 2),
        "memory_mb": Setting("777", job, f"{TASK}.resources.limits.memory", "777Mi"),
    }
    if not is_migration:
        found["schedule"] = Setting('"7 7 * * *"', f"cloudscheduler.Job/holdfast-{command}", "schedule", "7 7 * * *")
    return {f"jobs.{name}.{setting}": one for setting, one in found.items()}


LIFECYCLE = "lifecycleRules[0].condition.age"
ARMOR = "compute.SecurityPolicy/holdfast-api"
RATE = "rules[6].rateLimitOptions"
# Those that go together with production as it is.
IN_PRODUCTION = {
    "project": Setting("holdfast-other", "storage.Bucket/holdfast-archive", "name", "holdfast-other-"),
    "region": Setting("us-west1", PRIMARY, "region", "us-west1"),
    "dr_region": Setting("us-east4", REPLICA, "region", "us-east4"),
    "labels": Setting("{team: a}", PRIMARY, "settings.userLabels.team", "a"),
    "network.service_cidr": Setting(
        "10.11.0.0/24", "compute.Subnetwork/holdfast-service", "ipCidrRange", "10.11.0.0/24"
    ),
    "network.bastion_cidr": Setting(
        "10.11.1.0/28", "compute.Subnetwork/holdfast-bastion-subnet", "ipCidrRange", "10.11.1.0/28"
    ),
    "network.services_access_cidr": Setting(
        "10.21.0.0/16", "compute.GlobalAddress/holdfast-services-access", "address", "10.21.0.0"
    ),
    "network.flow_logs": Setting("false", "compute.Subnetwork/holdfast-service", "logConfig", None),
    "access.operators": Setting('["user:a@example.com"]', "sql.User/holdfast-user-a@example.com", "name", "a@"),
    "access.bastion_machine": Setting("e2-small", "compute.Instance/holdfast-bastion", "machineType", "e2-small"),
    "access.bastion_zone": Setting("c", "compute.Instance/holdfast-bastion", "zone", "us-west1-c"),
    "secrets.rotation_days": Setting(
        "30", "secretmanager.Secret/holdfast-cache-url", "rotation.rotationPeriod", f"{30 * 86400}s"
    ),
    "secrets.overdue_days": alert("9", "secret-overdue", 9 * 86400),
    "storage.metrics_backstop_days": Setting("400", "storage.Bucket/holdfast-archive", LIFECYCLE, 400),
    "storage.exports_days": Setting("31", "storage.Bucket/holdfast-exports", LIFECYCLE, 31),
    "storage.soft_delete_days": Setting(
        "8", "storage.Bucket/holdfast-exports", "softDeletePolicy.retentionDurationSeconds", 8 * 86400
    ),
    "database.name": Setting("other", "sql.Database/holdfast-other", "name", "other"),
    "database.instance": Setting("holdfast-restored", PRIMARY, "name", "holdfast-restored"),
    "database.version": Setting("POSTGRES_16", PRIMARY, "databaseVersion", "POSTGRES_16"),
    "database.tier": Setting("db-custom-4-15360", PRIMARY, "settings.tier", "db-custom-4-15360"),
    "database.first_disk_gb": Setting("101", PRIMARY, "settings.diskSize", 101),
    "database.disk_limit_gb": Setting("1001", PRIMARY, "settings.diskAutoresizeLimit", 1001),
    "database.ssl_mode": Setting(
        "TRUSTED_CLIENT_CERTIFICATE_REQUIRED", PRIMARY, "settings.ipConfiguration.sslMode", "TRUSTED_"
    ),
    "database.backups.start_time": Setting('"02:00"', PRIMARY, "settings.backupConfiguration.startTime", "02:00"),
    "database.backups.retained": Setting(
        "8", PRIMARY, "settings.backupConfiguration.backupRetentionSettings.retainedBackups", 8
    ),
    "database.backups.log_retention_days": Setting(
        "6", PRIMARY, "settings.backupConfiguration.transactionLogRetentionDays", 6
    ),
    "database.backups.final_backup_days": Setting("31", PRIMARY, "settings.finalBackupConfig.retentionDays", 31),
    "database.backups.retain_on_delete": Setting("false", PRIMARY, "settings.retainBackupsOnDelete", after=False),
    "database.maintenance.day": Setting("7", PRIMARY, "settings.maintenanceWindow.day", 7),
    "database.maintenance.hour": Setting("7", PRIMARY, "settings.maintenanceWindow.hour", 7),
    "database.maintenance.update_track": Setting("week5", PRIMARY, "settings.maintenanceWindow.updateTrack", "week5"),
    "database.maintenance.denied.start": Setting('"12-02"', PRIMARY, "settings.denyMaintenancePeriod.startDate", "02"),
    "database.maintenance.denied.end": Setting('"12-30"', PRIMARY, "settings.denyMaintenancePeriod.endDate", "30"),
    "database.maintenance.denied.time": Setting('"01:00"', PRIMARY, "settings.denyMaintenancePeriod.time", "01:00"),
    "database.insights.enabled": Setting("false", PRIMARY, "settings.insightsConfig.queryInsightsEnabled", after=False),
    "database.insights.query_length": Setting("2048", PRIMARY, "settings.insightsConfig.queryStringLength", 2048),
    "database.insights.plans_per_minute": Setting("6", PRIMARY, "settings.insightsConfig.queryPlansPerMinute", 6),
    "database.passwords.min_length": Setting("17", PRIMARY, "settings.passwordValidationPolicy.minLength", 17),
    "database.passwords.reuse_interval": Setting("6", PRIMARY, "settings.passwordValidationPolicy.reuseInterval", 6),
    "database.flags": Setting("{work_mem: 8192}", PRIMARY, "settings.databaseFlags[work_mem].value", "8192"),
    "cache.memory_gb": Setting("6", CACHE, "memorySizeGb", 6),
    "cache.version": Setting("REDIS_7_0", CACHE, "redisVersion", "REDIS_7_0"),
    "cache.eviction": Setting("allkeys-lfu", CACHE, "redisConfigs.maxmemory-policy", "allkeys-lfu"),
    "cache.read_replicas": Setting("1", CACHE, "replicaCount", 1),
    "service.image": Setting(OTHER_IMAGE, "cloudrunv2.Job/holdfast-other-partitions", f"{TASK}.image", OTHER_IMAGE),
    "service.canary_image": Setting(IMAGE.replace("012", "999"), API, f"{CONTAINER}.image", "999"),
    "service.canary_percent": Setting("7", API, "traffics[1].percent", 7),
    "service.images_kept": Setting(
        "21", "artifactregistry.Repository/holdfast-images", "cleanupPolicies[0].mostRecentVersions.keepCount", 21
    ),
    "service.image_days": Setting(
        "91", "artifactregistry.Repository/holdfast-images", "cleanupPolicies[2].condition.olderThan", f"{91 * 86400}s"
    ),
    "service.cpus": Setting("4", API, f"{CONTAINER}.resources.limits.cpu", "4"),
    "service.memory_mb": Setting("4096", API, f"{CONTAINER}.resources.limits.memory", "4096Mi"),
    "service.concurrency": Setting("81", API, "template.maxInstanceRequestConcurrency", 81),
    "service.min_instances": Setting("2", API, "scaling.minInstanceCount", 2),
    "service.max_instances": Setting("9", API, "scaling.maxInstanceCount", 9),
    "service.workers": variable("3", "MAX_WORKERS"),
    "service.pool_min": variable("11", "DB_POOL_MIN"),
    "service.pool_max": variable("29", "DB_POOL_MAX"),
    "service.request_timeout_seconds": variable("31", "REQUEST_TIMEOUT"),
    "service.domain": Setting(
        "api.other.example", "compute.ManagedSslCertificate/holdfast-api", "managed.domains[0]", "api.other.example"
    ),
    "service.armor.requests_per_minute": Setting("6001", ARMOR, f"{RATE}.rateLimitThreshold.count", 6001),
    "service.armor.ban_seconds": Setting("301", ARMOR, f"{RATE}.banDurationSec", 301),
    "service.armor.adaptive_protection": Setting(
        "true",
        ARMOR,
        "adaptiveProtectionConfig.layer7DdosDefenseConfig.enable",
        after=True,
    ),
    "service.token_issuers": variable(
        '[{issuer: "https://issuer.example", audience: a, scopes: ["utxoiq:read"]}]',
        "OIDC_PROVIDERS",
        "https://issuer.example",
    ),
    "service.cors_origins": variable('["https://app.example.com"]', "CORS_ORIGINS", "https://app.example.com"),
    "jobs.migrate.image": Setting(
        IMAGE.replace("012", "888"), "cloudrunv2.Job/holdfast-migrate", f"{TASK}.image", "888"
    ),
    **{name: one for job in JobsConfig.model_fields for name, one in of_job(job).items()},
    "monitoring.emails": Setting(
        "[a@example.com]", "monitoring.NotificationChannel/holdfast-email-a-example-com", "labels.email_address", "a@"
    ),
    "monitoring.alerts.pool_utilization": alert("0.91", "pool", 0.91),
    "monitoring.alerts.p95_ms": alert("201", "query-p95", 201),
    "monitoring.alerts.slow_query_ratio": alert("0.06", "slow-queries", 0.06),
    "monitoring.alerts.backup_age_hours": alert("29", "backup-stale", 29 * 3600),
    "monitoring.alerts.verification_age_days": alert("9", "verification-stale", 9 * 86400),
    "monitoring.alerts.partitions_months_ahead": alert("3", "partitions-missing", 3),
    "monitoring.alerts.replication_lag_seconds": alert("61", "replication-lag", 61),
    "monitoring.alerts.cpu_utilization": alert("0.81", "cpu", 0.81),
    "monitoring.alerts.memory_utilization": alert("0.91", "memory", 0.91),
    "monitoring.alerts.disk_utilization": alert("0.81", "disk", 0.81),
    "monitoring.alerts.cache_hit_ratio": alert("0.91", "cache-hits", 0.91),
    "monitoring.alerts.transaction_id_utilization": alert("0.51", "transaction-ids", 0.51),
    "monitoring.alerts.failed_logins": Setting(
        "11",
        "monitoring.AlertPolicy/holdfast-failed-logins",
        "conditions[0].conditionPrometheusQueryLanguage.query",
        "> 11",
    ),
    "monitoring.availability_objective": Setting("0.99", "monitoring.Slo/holdfast-availability", "goal", 0.99),
    "monitoring.uptime_period_seconds": Setting("300", "monitoring.UptimeCheckConfig/holdfast-ready", "period", "300s"),
    "audit.retention_days": Setting("401", "logging.ProjectBucketConfig/holdfast-audit", "retentionDays", 401),
    "audit.locked": Setting("true", "logging.ProjectBucketConfig/holdfast-audit", "locked", after=True),
    "budget.billing_account": Setting("01AB23-CD45EF-678901", "billing.Budget/holdfast-budget", "billingAccount", "01"),
    "budget.monthly_usd": Setting("501", "billing.Budget/holdfast-budget", "amount.specifiedAmount.units", "501"),
    "budget.thresholds": Setting("[0.6]", "billing.Budget/holdfast-budget", "thresholdRules[0].thresholdPercent", 0.6),
}

# Those that production is not with: the value, and where it shows.
LESS = {
    "production": Setting("false", API, "deletionProtection", after=False),
    "access.bastion": Setting("false", "compute.Instance/holdfast-bastion", "", None),
    "database.availability": Setting("ZONAL", PRIMARY, "settings.availabilityType", "ZONAL"),
    "database.connectors_only": Setting("false", PRIMARY, "settings.connectorEnforcement", "NOT_REQUIRED"),
    "database.deletion_protected": Setting("false", PRIMARY, "settings.deletionProtectionEnabled", after=False),
    "database.backups.enabled": Setting("false", PRIMARY, "settings.backupConfiguration.enabled", after=False),
    "database.backups.point_in_time_recovery": Setting(
        "false", PRIMARY, "settings.backupConfiguration.pointInTimeRecoveryEnabled", after=False
    ),
    "database.backups.final_backup": Setting("false", PRIMARY, "settings.finalBackupConfig.enabled", after=False),
    "database.dr_replica": Setting("false", REPLICA, "", None),
    "cache.tier": Setting("BASIC", CACHE, "tier", "BASIC"),
    "service.load_balancer": Setting("false", API, "ingress", "INGRESS_TRAFFIC_ALL"),
    "audit.data_access": Setting("false", "projects.IAMAuditConfig/holdfast-audit-storage", "", None),
    "analytics": Setting("false", "bigquery.Dataset/holdfast-archive", "", None),
}
# Those of Private Service Connect, of one's own keys, and of Enterprise Plus.
MORE = {
    "customer_managed_keys": Setting("true", "kms.CryptoKey/holdfast-key-cache", "purpose", "ENCRYPT_DECRYPT"),
    "network.endpoint_cidr": Setting(
        "10.11.2.0/28", "compute.Subnetwork/holdfast-endpoints-us-central1", "ipCidrRange", "10.11.2.0/28"
    ),
    "network.endpoint_dr_cidr": Setting(
        "10.11.3.0/28", "compute.Subnetwork/holdfast-endpoints-us-east1", "ipCidrRange", "10.11.3.0/28"
    ),
    "database.connectivity": Setting(
        "PRIVATE_SERVICE_CONNECT", PRIMARY, "settings.ipConfiguration.pscConfigs[0].pscEnabled", after=True
    ),
    "database.read_pool_nodes": Setting("2", "sql.DatabaseInstance/holdfast-read-pool", "nodeCount", 2),
    "database.data_cache": Setting("false", PRIMARY, "settings.dataCacheConfig.dataCacheEnabled", after=False),
    "database.managed_pooling": Setting("false", PRIMARY, "settings.connectionPoolConfigs", None),
}
EDITION = {"database.edition": Setting("ENTERPRISE_PLUS", PRIMARY, "settings.edition", "ENTERPRISE_PLUS")}
NAME = {"name": Setting("keep", "compute.Network/keep-network", "name", "keep-network")}
