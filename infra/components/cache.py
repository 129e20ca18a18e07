"""The cache: Memorystore for Redis, with AUTH and TLS, which are not its defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.encryption import Encryption, Purpose
from infra.components.network import Network
from infra.components.secret_store import SecretStore
from infra.components.stored_secret import StoredSecret, StoredSecretArgs
from infra.environment import Environment
from infra.urls import cache_url

DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


@dataclass(frozen=True)
class CacheArgs:
    """What the cache needs.

    Args:
        network: from where it is reached.
        encryption: the keys, where the environment has its own.
        store: where its secrets are.
        readers: who may read them: a word for each, and the member.
    """

    network: Network
    encryption: Encryption
    store: SecretStore
    readers: Mapping[str, pulumi.Input[str]]


class Cache(pulumi.ComponentResource):
    """One instance. It forgets what was used least recently, and loses nothing that the database does not have.

    Attributes:
        instance: Memorystore's.
        url: the secret of REDIS_URL, which has the AUTH string in it.
        authority: the secret that is mounted as the file which the URL names.
    """

    def __init__(self, env: Environment, args: CacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Cache", env.name("cache"), None, opts)
        cache = env.config.cache
        window = env.config.database.maintenance
        self.instance = gcp.redis.Instance(
            env.name("cache"),
            gcp.redis.InstanceArgs(
                name=env.name("cache"),
                tier=cache.tier,
                memory_size_gb=cache.memory_gb,
                redis_version=cache.version,
                auth_enabled=True,
                transit_encryption_mode="SERVER_AUTHENTICATION",
                connect_mode="PRIVATE_SERVICE_ACCESS",
                authorized_network=args.network.network.id,
                reserved_ip_range=args.network.range_name,
                redis_configs={"maxmemory-policy": cache.eviction},
                read_replicas_mode="READ_REPLICAS_ENABLED" if cache.read_replicas else None,
                replica_count=cache.read_replicas or None,
                customer_managed_key=args.encryption.key(Purpose.CACHE),
                # The database's window: one hour in the week in which either may pause.
                maintenance_policy=_weekly(DAYS[window.day - 1], window.hour),
                deletion_protection=env.config.database.deletion_protected,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.network.services_access],
                # Both would have one name. It loses nothing that the database does not have.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m", delete="30m"),
            ),
        )
        url = pulumi.Output.all(self.instance.auth_string, self.instance.host, self.instance.port).apply(
            lambda known: cache_url(str(known[0]), str(known[1]), int(known[2]))
        )
        mine = pulumi.ResourceOptions(parent=self)
        self.url = StoredSecret(env, StoredSecretArgs("cache-url", url, args.readers, args.store), mine)
        authority = self.instance.server_ca_certs.apply(_joined)
        self.authority = StoredSecret(
            env, StoredSecretArgs("cache-authority", authority, args.readers, args.store), mine
        )
        self.register_outputs({})


def _weekly(day: str, hour: int) -> gcp.redis.InstanceMaintenancePolicyArgs:
    start = gcp.redis.InstanceMaintenancePolicyWeeklyMaintenanceWindowStartTimeArgs(hours=hour)
    window = gcp.redis.InstanceMaintenancePolicyWeeklyMaintenanceWindowArgs(day=day, start_time=start)
    return gcp.redis.InstanceMaintenancePolicyArgs(weekly_maintenance_windows=[window])


def _joined(certificates: Sequence[gcp.redis.outputs.InstanceServerCaCert]) -> str:
    # While Google replaces its authority there are two, and the server may have a certificate of either.
    return "".join(f"{one.cert.strip()}\n" for one in certificates if one.cert)
