"""The replica in the region for disasters."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra import database_settings
from infra.components.database import Database
from infra.components.encryption import Encryption, Purpose
from infra.components.network import Network
from infra.environment import Environment


@dataclass(frozen=True)
class ReplicaArgs:
    """What the replica needs.

    Args:
        database: what it follows.
        network: where its private address is.
        encryption: the keys, where the environment has its own: it has one of its own region.
    """

    database: Database
    network: Network
    encryption: Encryption


class Replica(pulumi.ComponentResource):
    """A copy that follows. With Enterprise Plus the primary names it, and the two can be exchanged.

    It has no backups and no password policy: those are the primary's. promote-dr-replica turns them on.

    Attributes:
        instance: the replica.
    """

    def __init__(self, env: Environment, args: ReplicaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Replica", env.name("replica"), None, opts)
        config = env.config.database
        self.instance = gcp.sql.DatabaseInstance(
            env.name("database-dr"),
            gcp.sql.DatabaseInstanceArgs(
                name=args.database.replica_name,
                database_version=config.version,
                region=env.config.dr_region,
                instance_type="READ_REPLICA_INSTANCE",
                master_instance_name=args.database.instance.name,
                settings=database_settings.of_copy(env, args.network),
                encryption_key_name=args.encryption.key(Purpose.DATABASE_DR),
                deletion_protection=config.deletion_protected,
            ),
            pulumi.ResourceOptions(
                parent=self, protect=config.deletion_protected, custom_timeouts=database_settings.TIMEOUTS
            ),
        )
        self.register_outputs({})
