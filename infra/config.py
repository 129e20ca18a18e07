"""The settings of a stack: typed, with the safe defaults, and refusing what cannot work before anything is made."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from infra import fault_lines
from infra.database_flags import SUPERUSER_CONNECTIONS
from infra.errors import ConfigError
from infra.names import unknown
from infra.regions import check_region
from infra.sections.access import AccessConfig
from infra.sections.audit import AuditConfig
from infra.sections.base import Section
from infra.sections.budget import BudgetConfig
from infra.sections.cache import CacheConfig
from infra.sections.database import DatabaseConfig
from infra.sections.jobs import JobsConfig
from infra.sections.monitoring import MonitoringConfig
from infra.sections.network import NetworkConfig
from infra.sections.secrets import SecretsConfig
from infra.sections.service import ServiceConfig
from infra.sections.storage import StorageConfig

PROJECT = "holdfast"
# What is not ours in a stack file: the provider's settings and Pulumi's own.
OTHERS = ("gcp", "pulumi")
GIVEN_BY_PROGRAM = {"gcp:project": "project", "gcp:region": "region", "gcp:zone": "region"}
# For procedures, and for a person who looks.
OPERATOR_CONNECTIONS = 2
AUDIT_DAYS = 400
# Of a budget's channels.
MOST_TOLD = 5

Region = Annotated[str, AfterValidator(check_region)]
LabelKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
LabelValue = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]


class StackConfig(Section):
    """An environment. The defaults are production's: a smaller one says where it is less."""

    project: str = Field(
        pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", examples=["holdfast-dev"], description="Google's project."
    )
    region: Region = "us-central1"
    dr_region: Region = Field(default="us-east1", description="Backups, exports and the replica against disasters.")
    production: bool = Field(default=True, description="Refuses what production must not be without.")
    name: str = Field(
        default="holdfast",
        pattern=r"^[a-z][a-z0-9-]{1,19}$",
        examples=["holdfast"],
        description="Begins each resource's name.",
    )
    customer_managed_keys: bool = Field(
        default=False, description="From the beginning: later they would replace the database, its copies and secrets."
    )
    labels: Mapping[LabelKey, LabelValue] = Field(
        default_factory=dict, examples=["team-a"], description="Of every resource."
    )
    network: NetworkConfig = NetworkConfig()
    access: AccessConfig = AccessConfig()
    secrets: SecretsConfig = SecretsConfig()
    storage: StorageConfig = StorageConfig()
    database: DatabaseConfig = DatabaseConfig()
    cache: CacheConfig = CacheConfig()
    service: ServiceConfig
    jobs: JobsConfig = JobsConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    audit: AuditConfig = AuditConfig()
    analytics: bool = Field(default=True, description="BigQuery's tables over the archive.")
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, values: object) -> object:
        return {name: _unpacked(name, value) for name, value in values.items()} if isinstance(values, dict) else values

    @property
    def connections(self) -> int:
        """What may be held of the database at once, by everybody."""
        return self.service.connections + self.jobs.connections + SUPERUSER_CONNECTIONS + OPERATOR_CONNECTIONS

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.dr_region == self.region:
            yield f"dr_region: {self.dr_region} is the primary's own region, and is lost with it; write another"
        if self.connections > self.database.max_connections:
            yield (
                f"service.max_instances: {self.service.max_instances} instances with pool_max "
                f"{self.service.pool_max}, jobs with {self.jobs.connections} and {self._reserved} in reserve are "
                f"{self.connections} connections, and {self.database.tier} takes {self.database.max_connections}; "
                f"write {self._fitting}"
            )
        if self.budget.billing_account is not None and len(self.monitoring.emails) > MOST_TOLD:
            yield f"monitoring.emails: a budget tells {MOST_TOLD} at most; write a group's address in their place"
        if self.production:
            yield from self._production_faults()

    @property
    def _reserved(self) -> int:
        return SUPERUSER_CONNECTIONS + OPERATOR_CONNECTIONS

    @property
    def _fitting(self) -> str:
        left = self.database.max_connections - self.jobs.connections - self._reserved
        if fitting := left // self.service.pool_max:
            return f"max_instances: {fitting} at most, a smaller pool_max or a larger tier"
        return f"max_instances: 1 and pool_max: {max(left, 1)} at most, or a larger tier"

    def _production_faults(self) -> Iterator[str]:
        for name, is_right, instead in (
            ("database.availability", self.database.availability == "REGIONAL", "REGIONAL"),
            ("database.backups.enabled", self.database.backups.enabled, "true"),
            ("database.backups.point_in_time_recovery", self.database.backups.point_in_time_recovery, "true"),
            ("database.backups.final_backup", self.database.backups.final_backup, "true"),
            ("database.deletion_protected", self.database.deletion_protected, "true"),
            ("database.connectors_only", self.database.connectors_only, "true"),
            ("database.dr_replica", self.database.dr_replica, "true"),
            ("cache.tier", self.cache.tier == "STANDARD_HA", "STANDARD_HA"),
            ("service.load_balancer", self.service.load_balancer, "true, and service.domain"),
            ("service.min_instances", self.service.min_instances > 0, "1 or more"),
            ("monitoring.emails", bool(self.monitoring.emails), "who is told"),
            ("audit.retention_days", self.audit.retention_days >= AUDIT_DAYS, f"{AUDIT_DAYS} or more"),
            ("audit.data_access", self.audit.data_access, "true"),
        ):
            if not is_right:
                yield f"{name}: production is not without it; write {instead}, or production: false"


def load(config: Mapping[str, object]) -> StackConfig:
    """The settings from Pulumi's configuration, or from what `infra.stack_files.read` gives.

    Args:
        config: by key, with or without `holdfast:` before it. A section is a mapping, or JSON as Pulumi has it.

    Raises:
        ConfigError: one line a fault: which setting, why, and what to write instead.
    """
    values, lines = _own(config)
    try:
        stack = StackConfig.model_validate(values)
    except ValidationError as error:
        lines += fault_lines.of(error, StackConfig)
    else:
        if not lines:
            return stack
    raise ConfigError("\n".join(lines))


def _own(config: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    values: dict[str, object] = {}
    lines: list[str] = []
    for key, value in config.items():
        space, _, name = key.rpartition(":")
        if key in GIVEN_BY_PROGRAM:
            lines.append(f"{key}: the program tells the provider; write {PROJECT}:{GIVEN_BY_PROGRAM[key]}")
        elif space in {"", PROJECT}:
            values[name] = value
        elif space not in OTHERS:
            lines.append(f"{key}: {unknown('namespace', space, (PROJECT, *OTHERS))}")
    return values, lines


def _unpacked(name: str, value: object) -> object:
    """A section as Pulumi hands it over: JSON in a string."""
    field = StackConfig.model_fields.get(name)
    if not isinstance(value, str) or field is None or field.annotation in {str, bool}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
