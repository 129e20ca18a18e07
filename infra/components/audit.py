"""The audit log: who did what, kept where nobody who did it can shorten it."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

# Of administration, of the system, of refusals and of access to data; pgaudit's entries are among the last:
# https://cloud.google.com/sql/docs/postgres/pg-audit, as of 2026-11.
FILTER = 'logName:"/logs/cloudaudit.googleapis.com%2F"'
# Whose reads and writes of data are logged; BigQuery's always are. Nobody is exempt: an intruder would come as one of
# the runtime's own accounts, and those read a secret when they start, and an object or an instance now and then.
SERVICES = (
    # pgaudit's entries come only with these.
    "cloudsql.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    # Who became a service account.
    "iam.googleapis.com",
    # Who came to the bastion.
    "iap.googleapis.com",
    # Who pushed an image.
    "artifactregistry.googleapis.com",
)
KINDS = ("ADMIN_READ", "DATA_READ", "DATA_WRITE")


@dataclass(frozen=True)
class AuditArgs:
    """How the log is kept.

    Args:
        key: that encrypts it; None is Google's own.
    """

    key: pulumi.Input[str] | None = None


class Audit(pulumi.ComponentResource):
    """A log bucket in the region, all audit logs of the project in it, and which reads of data are logged."""

    bucket: gcp.logging.ProjectBucketConfig

    def __init__(self, env: Environment, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Audit", env.name("audit"), None, opts)
        config = env.config
        self.bucket = gcp.logging.ProjectBucketConfig(
            env.name("audit"),
            gcp.logging.ProjectBucketConfigArgs(
                project=config.project,
                location=config.region,
                bucket_id=env.name("audit"),
                description="Who did what, in all of the project.",
                retention_days=config.audit.retention_days,
                locked=config.audit.locked,
                cmek_settings=_cmek(args.key),
            ),
            pulumi.ResourceOptions(parent=self, protect=config.database.deletion_protected),
        )
        # A bucket of the same project is written to without a grant:
        # https://cloud.google.com/logging/docs/export/configure_export_v2#dest-auth, as of 2026-11.
        # _Default keeps its copy of data access for 30 days: log-based alerts see only what no sink excludes.
        gcp.logging.ProjectSink(
            env.name("audit"),
            gcp.logging.ProjectSinkArgs(
                name=env.name("audit"),
                destination=pulumi.Output.concat("logging.googleapis.com/", self.bucket.id),
                filter=FILTER,
                unique_writer_identity=True,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        for service in SERVICES if config.audit.data_access else ():
            gcp.projects.IAMAuditConfig(
                env.name(f"audit-{service.partition('.')[0]}"),
                gcp.projects.IAMAuditConfigArgs(
                    project=config.project,
                    service=service,
                    audit_log_configs=[gcp.projects.IAMAuditConfigAuditLogConfigArgs(log_type=kind) for kind in KINDS],
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _cmek(key: pulumi.Input[str] | None) -> gcp.logging.ProjectBucketConfigCmekSettingsArgs | None:
    return None if key is None else gcp.logging.ProjectBucketConfigCmekSettingsArgs(kms_key_name=key)
