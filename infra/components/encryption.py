"""Keys of one's own, where they are asked for; otherwise Google's, and nothing here is made."""

from collections.abc import Mapping
from enum import StrEnum

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

ROTATION = f"{90 * 24 * 3600}s"
# A key that somebody destroys can be brought back for so long: Google's longest.
DESTROYED_AFTER = f"{120 * 24 * 3600}s"
USER = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


class Purpose(StrEnum):
    """What a key is for. Its value ends the key's name."""

    DATABASE = "database"
    DATABASE_DR = "database-dr"
    STORAGE = "storage"
    STORAGE_DR = "storage-dr"
    SECRETS = "secrets"
    SECRETS_DR = "secrets-dr"
    CACHE = "cache"
    REGISTRY = "registry"
    SERVICE = "service"
    ANALYTICS = "analytics"
    LOGS = "logs"


# In the region for disasters: a key is in the region of what it encrypts.
IN_DR_REGION = frozenset({Purpose.DATABASE_DR, Purpose.STORAGE_DR, Purpose.SECRETS_DR})
STORAGE = "storage"
BIGQUERY = "bigquery"
LOGGING = "logging"
# The service whose agent encrypts, as of 2026-11: https://cloud.google.com/kms/docs/compatible-services.
SERVICES: Mapping[Purpose, tuple[str, ...]] = {
    Purpose.DATABASE: ("sqladmin",),
    Purpose.DATABASE_DR: ("sqladmin",),
    Purpose.STORAGE: (STORAGE,),
    Purpose.STORAGE_DR: (STORAGE,),
    # Reminders of rotation go through a topic.
    Purpose.SECRETS: ("secretmanager", "pubsub"),
    Purpose.SECRETS_DR: ("secretmanager",),
    Purpose.CACHE: ("redis",),
    Purpose.REGISTRY: ("artifactregistry",),
    Purpose.SERVICE: ("run",),
    Purpose.ANALYTICS: (BIGQUERY,),
    Purpose.LOGS: (LOGGING,),
}


class Encryption(pulumi.ComponentResource):
    """A key ring a region, and a key a purpose, which only the agent of its service may use."""

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Encryption", env.name("encryption"), None, opts)
        self._env = env
        self._keys: dict[Purpose, pulumi.Output[str]] = {}
        if env.config.customer_managed_keys:
            self._make_keys()
        self.register_outputs({})

    def key(self, purpose: Purpose) -> pulumi.Output[str] | None:
        """The id of a key, once its service may use it.

        Args:
            purpose: what is encrypted.

        Returns:
            None where Google's own keys are used.
        """
        return self._keys.get(purpose)

    def _make_keys(self) -> None:
        env = self._env
        wanted = [purpose for purpose in Purpose if _is_wanted(env, purpose)]
        rings = {region: self._ring(region) for region in (env.config.region, env.config.dr_region)}
        agents = {name: self._agent(name) for name in sorted({one for key in wanted for one in SERVICES[key]})}
        for purpose in wanted:
            region = env.config.dr_region if purpose in IN_DR_REGION else env.config.region
            key = self._key(purpose, rings[region])
            grants = [
                gcp.kms.CryptoKeyIAMMember(
                    env.name(f"key-{purpose}-{service}"),
                    gcp.kms.CryptoKeyIAMMemberArgs(crypto_key_id=key.id, role=USER, member=agents[service]),
                    pulumi.ResourceOptions(parent=self),
                )
                for service in SERVICES[purpose]
            ]
            self._keys[purpose] = pulumi.Output.all(key.id, *(grant.etag for grant in grants)).apply(_first)

    def _ring(self, region: str) -> gcp.kms.KeyRing:
        name = self._env.name(f"keys-{region}")
        return gcp.kms.KeyRing(
            name, gcp.kms.KeyRingArgs(name=name, location=region), pulumi.ResourceOptions(parent=self)
        )

    def _key(self, purpose: Purpose, ring: gcp.kms.KeyRing) -> gcp.kms.CryptoKey:
        name = self._env.name(f"key-{purpose}")
        return gcp.kms.CryptoKey(
            name,
            gcp.kms.CryptoKeyArgs(
                name=name,
                key_ring=ring.id,
                purpose="ENCRYPT_DECRYPT",
                rotation_period=ROTATION,
                destroy_scheduled_duration=DESTROYED_AFTER,
            ),
            # Whatever it encrypted, backups too, is lost with it: in no environment is it deleted by the way.
            pulumi.ResourceOptions(parent=self, protect=True),
        )

    def _agent(self, service: str) -> pulumi.Input[str]:
        """The member that a service acts as."""
        asked = pulumi.InvokeOutputOptions(parent=self)
        # These have one that is older than service identities.
        if service == STORAGE:
            return gcp.storage.get_project_service_account_output(opts=asked).member
        if service == BIGQUERY:
            return gcp.bigquery.get_default_service_account_output(opts=asked).member
        if service == LOGGING:
            settings = gcp.logging.get_project_cmek_settings_output(project=self._env.config.project, opts=asked)
            return pulumi.Output.concat("serviceAccount:", settings.service_account_id)
        identity = gcp.projects.ServiceIdentity(
            self._env.name(f"agent-{service}"),
            gcp.projects.ServiceIdentityArgs(service=f"{service}.googleapis.com"),
            pulumi.ResourceOptions(parent=self),
        )
        return identity.member


def _is_wanted(env: Environment, purpose: Purpose) -> bool:
    config = env.config
    return {
        Purpose.DATABASE_DR: config.database.dr_replica,
        Purpose.ANALYTICS: config.analytics,
    }.get(purpose, True)


def _first(values: list[str]) -> str:
    return values[0]
