"""The settings of Cloud SQL instances: those of the primary, and what its copies have of them."""

import pulumi
import pulumi_gcp as gcp

from infra.components.network import Network
from infra.environment import Environment
from infra.sections.database import DatabaseConfig

# The machine series that has no PD_SSD: https://cloud.google.com/sql/docs/postgres/machine-series-overview, 2026-11.
HYPERDISK_TIERS = "db-c4a-"
# A regional instance, its standby and a first backup take most of an hour where they are slow.
TIMEOUTS = pulumi.CustomTimeouts(create="90m", update="90m", delete="60m")


def of_primary(env: Environment, network: Network) -> gcp.sql.DatabaseInstanceSettingsArgs:
    """All settings of the instance that serves."""
    config = env.config.database
    settings = of_copy(env, network)
    settings.availability_type = config.availability
    # What it has at first. It grows, and a smaller one would be another instance: whoever makes it ignores changes.
    settings.disk_size = config.first_disk_gb
    settings.backup_configuration = _backups(env)
    settings.final_backup_config = _final_backup(config)
    settings.retain_backups_on_delete = config.backups.retain_on_delete
    settings.password_validation_policy = _passwords(config)
    settings.maintenance_window = _window(config)
    settings.deny_maintenance_period = _denied(config)
    return settings


def of_copy(env: Environment, network: Network) -> gcp.sql.DatabaseInstanceSettingsArgs:
    """What a replica has too. Backups, passwords and maintenance are the primary's, and so is the disk's size."""
    config = env.config.database
    return gcp.sql.DatabaseInstanceSettingsArgs(
        # Never left to Google: from PostgreSQL 16 on that is Enterprise Plus, which has other tiers.
        edition=config.edition,
        tier=config.tier,
        availability_type="ZONAL",
        disk_type="HYPERDISK_BALANCED" if config.tier.startswith(HYPERDISK_TIERS) else "PD_SSD",
        disk_autoresize=True,
        disk_autoresize_limit=config.disk_limit_gb,
        database_flags=[
            gcp.sql.DatabaseInstanceSettingsDatabaseFlagArgs(name=name, value=value)
            for name, value in sorted(config.all_flags.items())
        ],
        ip_configuration=_addresses(env, network),
        connector_enforcement="REQUIRED" if config.connectors_only else "NOT_REQUIRED",
        # It would let SQL in by the public API, past the private address.
        data_api_access="DISALLOW_DATA_API",
        insights_config=gcp.sql.DatabaseInstanceSettingsInsightsConfigArgs(
            query_insights_enabled=config.insights.enabled,
            query_string_length=config.insights.query_length,
            query_plans_per_minute=config.insights.plans_per_minute,
            record_application_tags=True,
            # All come from Cloud Run or by the bastion.
            record_client_address=False,
        ),
        data_cache_config=(
            gcp.sql.DatabaseInstanceSettingsDataCacheConfigArgs(data_cache_enabled=config.data_cache)
            if config.is_plus
            else None
        ),
        connection_pool_configs=(
            [gcp.sql.DatabaseInstanceSettingsConnectionPoolConfigArgs(connection_pooling_enabled=True)]
            if config.managed_pooling
            else None
        ),
        deletion_protection_enabled=config.deletion_protected,
        user_labels=env.labels,
    )


def _addresses(env: Environment, network: Network) -> gcp.sql.DatabaseInstanceSettingsIpConfigurationArgs:
    config = env.config.database
    addresses = gcp.sql.DatabaseInstanceSettingsIpConfigurationArgs(
        ipv4_enabled=config.public_ip,
        ssl_mode=config.ssl_mode,
        # An authority for each instance, by which the connectors know it.
        server_ca_mode="GOOGLE_MANAGED_INTERNAL_CA",
    )
    if config.by_endpoints:
        addresses.psc_configs = [
            gcp.sql.DatabaseInstanceSettingsIpConfigurationPscConfigArgs(
                psc_enabled=True,
                allowed_consumer_projects=[env.config.project],
                # Google makes the endpoint, and the name that connectors ask for: so whatever is made like this one has
                # its own.
                psc_auto_connections=[
                    gcp.sql.DatabaseInstanceSettingsIpConfigurationPscConfigPscAutoConnectionArgs(
                        consumer_network=network.network.id, consumer_service_project_id=env.config.project
                    )
                ],
                psc_auto_dns_enabled=True,
            )
        ]
    else:
        addresses.private_network = network.network.id
        addresses.allocated_ip_range = network.range_name
    return addresses


def _backups(env: Environment) -> gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs:
    backups = env.config.database.backups
    recovers = backups.point_in_time_recovery
    return gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs(
        enabled=backups.enabled,
        # They outlive the primary's region.
        location=env.config.dr_region,
        start_time=backups.start_time,
        backup_retention_settings=gcp.sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs(
            retained_backups=backups.retained, retention_unit="COUNT"
        ),
        point_in_time_recovery_enabled=recovers,
        transaction_log_retention_days=backups.log_retention_days if recovers else None,
    )


def _final_backup(config: DatabaseConfig) -> gcp.sql.DatabaseInstanceSettingsFinalBackupConfigArgs:
    backups = config.backups
    # Days without a backup are a difference for ever: hashicorp/terraform-provider-google 25918.
    days = backups.final_backup_days if backups.final_backup else None
    return gcp.sql.DatabaseInstanceSettingsFinalBackupConfigArgs(enabled=backups.final_backup, retention_days=days)


def _passwords(config: DatabaseConfig) -> gcp.sql.DatabaseInstanceSettingsPasswordValidationPolicyArgs:
    # Without complexity: passwords are long and random, and "unspecified" in writing is a difference for ever
    # (hashicorp/terraform-provider-google 20645).
    return gcp.sql.DatabaseInstanceSettingsPasswordValidationPolicyArgs(
        enable_password_policy=True,
        min_length=config.passwords.min_length,
        reuse_interval=config.passwords.reuse_interval,
        disallow_username_substring=True,
    )


def _window(config: DatabaseConfig) -> gcp.sql.DatabaseInstanceSettingsMaintenanceWindowArgs:
    window = config.maintenance
    return gcp.sql.DatabaseInstanceSettingsMaintenanceWindowArgs(
        day=window.day, hour=window.hour, update_track=window.update_track
    )


def _denied(config: DatabaseConfig) -> gcp.sql.DatabaseInstanceSettingsDenyMaintenancePeriodArgs | None:
    denied = config.maintenance.denied
    if denied is None:
        return None
    return gcp.sql.DatabaseInstanceSettingsDenyMaintenancePeriodArgs(
        start_date=denied.start, end_date=denied.end, time=f"{denied.time}:00"
    )
