"""The read pool: nodes that only read, behind one address. Enterprise Plus has it."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra import database_settings
from infra.components.database import Database
from infra.components.encryption import Encryption, Purpose
from infra.components.network import Network
from infra.environment import Environment


@dataclass(frozen=True)
class ReadPoolArgs:
    """What the pool needs.

    Args:
        database: what it follows.
        network: where its private address is.
        encryption: the keys, where the environment has its own.
    """

    database: Database
    network: Network
    encryption: Encryption


class ReadPool(pulumi.ComponentResource):
    """Nodes in the primary's region. None of them holds anything that the primary does not.

    Attributes:
        instance: the pool.
    """

    def __init__(self, env: Environment, args: ReadPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:ReadPool", env.name("read-pool"), None, opts)
        config = env.config.database
        settings = database_settings.of_copy(env, args.network)
        # More nodes than one are in several zones: Google decides.
        settings.availability_type = None
        self.instance = gcp.sql.DatabaseInstance(
            env.name("read-pool"),
            gcp.sql.DatabaseInstanceArgs(
                database_version=config.version,
                region=env.config.region,
                instance_type="READ_POOL_INSTANCE",
                node_count=config.read_pool_nodes,
                master_instance_name=args.database.instance.name,
                settings=settings,
                encryption_key_name=args.encryption.key(Purpose.DATABASE),
                deletion_protection=config.deletion_protected,
            ),
            pulumi.ResourceOptions(parent=self, custom_timeouts=database_settings.TIMEOUTS),
        )
        self.register_outputs({})
