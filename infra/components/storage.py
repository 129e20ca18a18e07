"""Buckets: the archive, and exports."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.archived import TABLES
from infra.components.encryption import Encryption, Purpose
from infra.components.identity import Identity
from infra.duties import Duty
from infra.environment import Environment

# Below it are archived metrics and nothing else: all that the bucket itself may ever delete.
METRICS_PREFIX = TABLES["system_metrics"].prefix
DAY_SECONDS = 24 * 60 * 60
# What the archive job calls: it makes objects and reads them back. It replaces and deletes none.
ARCHIVIST_ROLES = {"creator": "roles/storage.objectCreator", "viewer": "roles/storage.objectViewer"}


@dataclass(frozen=True)
class StorageArgs:
    """What buckets need.

    Args:
        encryption: the keys, where the environment has its own.
        identity: whose jobs write the archive.
    """

    encryption: Encryption
    identity: Identity


class Storage(pulumi.ComponentResource):
    """Two buckets, neither of which can be public.

    Attributes:
        archive: what the retention job moves out of the database, in the primary's region.
        exports: what is exported by hand, in the region for disasters.
    """

    def __init__(self, env: Environment, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Storage", env.name("storage"), None, opts)
        config = env.config
        self.archive = self._bucket(
            env,
            "archive",
            config.region,
            args.encryption.key(Purpose.STORAGE),
            # The job deletes first. Archived jobs and feedback are kept; in any state: the age of an older version
            # counts too, so what the job deleted goes at the same time.
            _deletion(config.storage.metrics_backstop_days, [METRICS_PREFIX]),
            is_protected=config.database.deletion_protected,
        )
        self.exports = self._bucket(
            env,
            "exports",
            config.dr_region,
            args.encryption.key(Purpose.STORAGE_DR),
            _deletion(config.storage.exports_days),
            is_protected=False,
        )
        for word, role in ARCHIVIST_ROLES.items():
            gcp.storage.BucketIAMMember(
                env.name(f"archive-{Duty.JOBS}-{word}"),
                gcp.storage.BucketIAMMemberArgs(
                    bucket=self.archive.name, role=role, member=args.identity.member(Duty.JOBS)
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})

    def _bucket(
        self,
        env: Environment,
        part: str,
        region: str,
        key: pulumi.Output[str] | None,
        rule: gcp.storage.BucketLifecycleRuleArgs,
        *,
        is_protected: bool,
    ) -> gcp.storage.Bucket:
        storage = env.config.storage
        return gcp.storage.Bucket(
            env.name(part),
            gcp.storage.BucketArgs(
                name=env.bucket_name(part),
                location=region,
                public_access_prevention="enforced",
                uniform_bucket_level_access=True,
                versioning=gcp.storage.BucketVersioningArgs(enabled=True),
                soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(
                    retention_duration_seconds=storage.soft_delete_days * DAY_SECONDS
                ),
                lifecycle_rules=[rule],
                encryption=gcp.storage.BucketEncryptionArgs(default_kms_key_name=key) if key is not None else None,
                # An environment that may be deleted is deleted with what is in it.
                force_destroy=not env.config.database.deletion_protected,
            ),
            pulumi.ResourceOptions(parent=self, protect=is_protected),
        )


def _deletion(days: int, prefixes: list[str] | None = None) -> gcp.storage.BucketLifecycleRuleArgs:
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=days, matches_prefixes=prefixes, with_state="ANY"),
    )
