"""Where secrets are: their keys, and who is told when one is to be replaced."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.encryption import Encryption, Purpose
from infra.environment import Environment


@dataclass(frozen=True)
class SecretStoreArgs:
    """What the store needs.

    Args:
        encryption: the keys, where the environment has its own.
    """

    encryption: Encryption


class SecretStore(pulumi.ComponentResource):
    """The topic of rotation reminders, and what all secrets have in common.

    Attributes:
        topic: where Secret Manager says that a secret is to be replaced.
        publishes: Secret Manager's permission to do so. A secret with a topic cannot be made before it.
    """

    def __init__(self, env: Environment, args: SecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:SecretStore", env.name("secrets"), None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        rotation = env.name("secret-rotation")
        self.topic = gcp.pubsub.Topic(
            rotation,
            gcp.pubsub.TopicArgs(name=rotation, kms_key_name=args.encryption.key(Purpose.SECRETS)),
            mine,
        )
        agent = gcp.projects.ServiceIdentity(
            env.name("secret-manager"), gcp.projects.ServiceIdentityArgs(service="secretmanager.googleapis.com"), mine
        )
        self.publishes = gcp.pubsub.TopicIAMMember(
            f"{rotation}-publisher",
            gcp.pubsub.TopicIAMMemberArgs(topic=self.topic.id, role="roles/pubsub.publisher", member=agent.member),
            mine,
        )
        config = env.config
        self._replicas = [
            _replica(config.region, args.encryption.key(Purpose.SECRETS)),
            _replica(config.dr_region, args.encryption.key(Purpose.SECRETS_DR)),
        ]
        self.register_outputs({})

    @property
    def replication(self) -> gcp.secretmanager.SecretReplicationArgs:
        """Both regions, so that a secret outlives the loss of either."""
        managed = gcp.secretmanager.SecretReplicationUserManagedArgs(replicas=self._replicas)
        return gcp.secretmanager.SecretReplicationArgs(user_managed=managed)


def _replica(region: str, key: pulumi.Output[str] | None) -> gcp.secretmanager.SecretReplicationUserManagedReplicaArgs:
    encryption = (
        gcp.secretmanager.SecretReplicationUserManagedReplicaCustomerManagedEncryptionArgs(kms_key_name=key)
        if key is not None
        else None
    )
    return gcp.secretmanager.SecretReplicationUserManagedReplicaArgs(
        location=region, customer_managed_encryption=encryption
    )
