"""The database: edition, tier, guards, and what goes together."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from infra import database_flags
from infra.sections.backups import BackupsConfig
from infra.sections.base import Section
from infra.sections.maintenance import MaintenanceConfig
from infra.tiers import Edition, Tier, tier_of

PLUS = "ENTERPRISE_PLUS"
# What an edition has when nothing else is said: by the one setting, all of Plus.
BY_EDITION: Mapping[str, Mapping[str, object]] = {
    "ENTERPRISE": {"tier": "db-custom-2-7680", "data_cache": False, "managed_pooling": False},
    PLUS: {"tier": "db-perf-optimized-N-2", "data_cache": True, "managed_pooling": True},
}
LOG_DAYS = {"ENTERPRISE": 7, PLUS: 35}


def _known_tier(name: str) -> str:
    return tier_of(name).name


def _private(value: bool) -> bool:  # noqa: FBT001  # pydantic gives a validator its value
    if value:
        message = "true would put the database on the internet; write false, and come in by holdfast connect"
        raise ValueError(message)
    return value


def _as_postgres_writes(flags: object) -> object:
    if not isinstance(flags, Mapping):
        return flags
    words = {True: "on", False: "off"}
    return {name: words[value] if isinstance(value, bool) else str(value) for name, value in flags.items()}


class PasswordPolicy(Section):
    """Of the logins that have a password."""

    min_length: int = Field(default=16, ge=12, le=128)
    reuse_interval: int = Field(default=5, ge=0, le=100, description="Former passwords that may not come again.")


class InsightsConfig(Section):
    """What Query Insights keeps."""

    enabled: bool = True
    query_length: int = Field(default=1024, ge=256, le=4500, description="Bytes of a query.")
    plans_per_minute: int = Field(default=5, ge=0, le=20)


class DatabaseConfig(Section):
    """The Cloud SQL instance, its replica and its read pool."""

    name: str = Field(
        default="holdfast",
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        examples=["holdfast"],
        description="Of the database inside.",
    )
    instance: str | None = Field(
        default=None,
        pattern=r"^[a-z]([a-z0-9-]{0,96}[a-z0-9])?$",
        examples=["holdfast-database-1a2b3c4-restored-0a1b2c"],
        description="The instance's own name, where a recovery has put another in its place; else Pulumi makes it.",
    )
    version: Literal["POSTGRES_18", "POSTGRES_16"] = "POSTGRES_18"
    edition: Edition = "ENTERPRISE"
    tier: Annotated[str, AfterValidator(_known_tier)] = "db-custom-2-7680"
    availability: Literal["REGIONAL", "ZONAL"] = "REGIONAL"
    first_disk_gb: int = Field(default=100, ge=10, le=65536, description="It grows by itself from there.")
    disk_limit_gb: int = Field(default=1000, ge=0, le=65536, description="Where it stops growing; 0 for nowhere.")
    public_ip: Annotated[bool, AfterValidator(_private)] = False
    connectivity: Literal["PRIVATE_SERVICES_ACCESS", "PRIVATE_SERVICE_CONNECT"] = "PRIVATE_SERVICES_ACCESS"
    ssl_mode: Literal["ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"] = "ENCRYPTED_ONLY"
    connectors_only: bool = True
    deletion_protected: bool = Field(default=True, description="By Pulumi, by the provider and by Google.")
    backups: BackupsConfig = BackupsConfig()
    maintenance: MaintenanceConfig = MaintenanceConfig()
    insights: InsightsConfig = InsightsConfig()
    passwords: PasswordPolicy = PasswordPolicy()
    dr_replica: bool = Field(default=True, description="A replica in dr_region; with Enterprise Plus a DR replica.")
    data_cache: bool = False
    managed_pooling: bool = False
    read_pool_nodes: int = Field(default=0, ge=0, le=20)
    flags: Annotated[Mapping[str, str], BeforeValidator(_as_postgres_writes)] = Field(
        default_factory=dict, description="Beside those of infra/database_flags.py."
    )

    @model_validator(mode="before")
    @classmethod
    def _by_edition(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        edition = values.get("edition", "ENTERPRISE")
        return {**BY_EDITION.get(edition, {}), **values} if isinstance(edition, str) else values

    @property
    def machine(self) -> Tier:
        """What the tier is."""
        return tier_of(self.tier)

    @property
    def is_plus(self) -> bool:
        """Whether the edition is Enterprise Plus."""
        return self.edition == PLUS

    @property
    def by_endpoints(self) -> bool:
        """Whether instances are reached by Private Service Connect."""
        return self.connectivity == "PRIVATE_SERVICE_CONNECT"

    @property
    def all_flags(self) -> Mapping[str, str]:
        """Every flag of the instance."""
        return {**database_flags.DEFAULTS, **self.flags}

    @property
    def max_connections(self) -> int:
        """How many connections the instance takes."""
        own = self.flags.get("max_connections", "")
        return int(own) if own.isdigit() else self.machine.max_connections

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        yield from self._edition_faults()
        yield from (f"flags.{line}" for line in database_flags.faults(self.flags))
        if self.availability == "REGIONAL" and not (self.backups.enabled and self.backups.point_in_time_recovery):
            yield (
                "availability: REGIONAL needs backups and point-in-time recovery; "
                "write backups.enabled and backups.point_in_time_recovery: true, or ZONAL"
            )
        if self.dr_replica and not self.backups.enabled:
            yield "dr_replica: a replica is made from a backup, and backups are off; write backups.enabled: true"
        if self.dr_replica and self.is_plus and not self.backups.point_in_time_recovery:
            yield "dr_replica: Enterprise Plus fails over to it with point-in-time recovery only; turn that on"
        if 0 < self.disk_limit_gb < self.first_disk_gb:
            yield f"disk_limit_gb: {self.disk_limit_gb} is below first_disk_gb, {self.first_disk_gb}; write more, or 0"

    def _edition_faults(self) -> Iterator[str]:
        has = self.machine.edition
        if has != self.edition:
            yield (
                f"tier: {self.tier} is of {has}, and edition is {self.edition}; "
                f"write {BY_EDITION[self.edition]['tier']}, or edition: {has}"
            )
        most = LOG_DAYS[self.edition]
        if self.backups.log_retention_days > most:
            yield (
                f"backups.log_retention_days: {self.edition} keeps at most {most} days of log, "
                f"not {self.backups.log_retention_days}; write {most}"
                + ("" if self.is_plus else f", or edition: {PLUS}")
            )
        wanted = {
            "data_cache": self.data_cache,
            "managed_pooling": self.managed_pooling,
            "read_pool_nodes": self.read_pool_nodes > 0,
        }
        for name, is_wanted in wanted.items():
            if is_wanted and not self.is_plus:
                off = 0 if name == "read_pool_nodes" else "false"
                yield f"{name}: only {PLUS} has it; write edition: {PLUS}, or {name}: {off}"
