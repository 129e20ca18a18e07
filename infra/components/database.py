"""The database: one Cloud SQL instance that serves."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from infra import database_settings
from infra.components.encryption import Encryption, Purpose
from infra.components.endpoint_policies import EndpointPolicies
from infra.components.network import Network
from infra.environment import Environment

SUFFIX_BYTES = 2


@dataclass(frozen=True)
class DatabaseArgs:
    """What the database needs.

    Args:
        network: where its private address is.
        encryption: the keys, where the environment has its own.
        endpoints: who makes its endpoint, and its copies', where it has no private address.
    """

    network: Network
    encryption: Encryption
    endpoints: EndpointPolicies | None = None


class Database(pulumi.ComponentResource):
    """The instance, and the database inside.

    Attributes:
        instance: the primary. Pulumi ends its name with a suffix, since a deleted name is taken for a week; after a
            recovery `database.instance` is its name.
        database: where the tables are.
        connection_name: PROJECT:REGION:INSTANCE.
        replica_name: what the replica in the region for disasters is called, where there is to be one.
    """

    def __init__(self, env: Environment, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Database", env.name("database"), None, opts)
        config = env.config.database
        is_protected = config.deletion_protected
        self.replica_name = self._replica_name(env) if config.dr_replica else None
        self.instance = gcp.sql.DatabaseInstance(
            env.name("database"),
            gcp.sql.DatabaseInstanceArgs(
                name=config.instance,
                database_version=config.version,
                region=env.config.region,
                settings=database_settings.of_primary(env, args.network),
                encryption_key_name=args.encryption.key(Purpose.DATABASE),
                replication_cluster=self._replication_cluster(env),
                deletion_protection=is_protected,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=args.endpoints.policies if args.endpoints else [args.network.services_access],
                protect=is_protected,
                # It grows by itself; what it has by then must not be planned away.
                ignore_changes=["settings.diskSize"],
                custom_timeouts=database_settings.TIMEOUTS,
            ),
        )
        self.connection_name: pulumi.Output[str] = self.instance.connection_name
        self.database = gcp.sql.Database(
            env.name(config.name),
            gcp.sql.DatabaseArgs(
                name=config.name,
                instance=self.instance.name,
                charset="UTF8",
                collation="en_US.UTF8",
                # Whatever is taken out of this program, the data stays.
                deletion_policy="ABANDON" if is_protected else "DELETE",
            ),
            pulumi.ResourceOptions(parent=self, protect=is_protected),
        )
        self.register_outputs({})

    def _replica_name(self, env: Environment) -> pulumi.Output[str]:
        # Known before the replica is made, and the same in both editions: to change edition replaces nothing.
        name = env.name("database-dr")
        suffix = random.RandomId(
            name, random.RandomIdArgs(byte_length=SUFFIX_BYTES), pulumi.ResourceOptions(parent=self)
        )
        return suffix.hex.apply(lambda known: f"{name}-{known}")

    def _replication_cluster(self, env: Environment) -> gcp.sql.DatabaseInstanceReplicationClusterArgs | None:
        # The replica needs the primary, and this names the replica. The provider says it to Google only when it updates
        # an instance, never when it makes one (google/services/sql/resource_sql_database_instance.go, as of 2026-11):
        # so the first `pulumi up` makes both, and the next one makes the replica the one for disasters.
        if self.replica_name is None or not env.config.database.is_plus:
            return None
        return gcp.sql.DatabaseInstanceReplicationClusterArgs(failover_dr_replica_name=self.replica_name)
