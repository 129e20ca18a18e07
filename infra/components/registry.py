"""Where images are."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.encryption import Encryption, Purpose
from infra.environment import Environment

DAY_SECONDS = 24 * 60 * 60
UNTAGGED_DAYS = 14


@dataclass(frozen=True)
class RegistryArgs:
    """What it needs.

    Args:
        encryption: the keys.
    """

    encryption: Encryption


class Registry(pulumi.ComponentResource):
    """A repository of images. What is tried in one environment is copied by its digest to the next one's own."""

    repository: gcp.artifactregistry.Repository
    address: pulumi.Output[str]

    def __init__(self, env: Environment, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Registry", env.name("registry"), None, opts)
        config = env.config
        self.repository = gcp.artifactregistry.Repository(
            env.name("images"),
            gcp.artifactregistry.RepositoryArgs(
                repository_id=env.name("images"),
                location=config.region,
                format="DOCKER",
                description="Images of the runtime.",
                docker_config=gcp.artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
                vulnerability_scanning_config=gcp.artifactregistry.RepositoryVulnerabilityScanningConfigArgs(
                    enablement_config="INHERITED"
                ),
                cleanup_policies=_cleanup(config.service.images_kept, config.service.image_days),
                kms_key_name=args.encryption.key(Purpose.REGISTRY),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.address = self.repository.name.apply(
            lambda name: f"{config.region}-docker.pkg.dev/{config.project}/{name}"
        )
        self.register_outputs({})


def _cleanup(kept: int, days: int) -> list[gcp.artifactregistry.RepositoryCleanupPolicyArgs]:
    """What is kept wins over what is deleted: https://cloud.google.com/artifact-registry/docs/repositories/cleanup-policy."""
    return [
        gcp.artifactregistry.RepositoryCleanupPolicyArgs(
            id="keep-newest",
            action="KEEP",
            most_recent_versions=gcp.artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(keep_count=kept),
        ),
        gcp.artifactregistry.RepositoryCleanupPolicyArgs(
            id="delete-untagged",
            action="DELETE",
            condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                tag_state="UNTAGGED", older_than=f"{UNTAGGED_DAYS * DAY_SECONDS}s"
            ),
        ),
        gcp.artifactregistry.RepositoryCleanupPolicyArgs(
            id="delete-old",
            action="DELETE",
            condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                tag_state="ANY", older_than=f"{days * DAY_SECONDS}s"
            ),
        ),
    ]
