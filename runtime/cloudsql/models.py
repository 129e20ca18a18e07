"""The Admin API's answers, as far as they are used; what is not named here is in `model_extra`."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Edition = Literal["ENTERPRISE", "ENTERPRISE_PLUS"]
Availability = Literal["ZONAL", "REGIONAL"]
Activation = Literal["ALWAYS", "NEVER"]
UserType = Literal["BUILT_IN", "CLOUD_IAM_USER", "CLOUD_IAM_SERVICE_ACCOUNT", "CLOUD_IAM_GROUP"]


class Answer(BaseModel):
    """Google's names in camel case, ours in Python's; int64 comes as a string, and is an int here."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True, hide_input_in_errors=True
    )


class Flag(Answer):
    """A database flag."""

    name: str
    value: str = ""


class BackupConfiguration(Answer):
    """What is kept, and for how long."""

    enabled: bool = False
    point_in_time_recovery_enabled: bool = False
    transaction_log_retention_days: int | None = None
    location: str | None = None


class InstanceSettings(Answer):
    """The part of an instance that its owner chooses."""

    settings_version: int | None = None
    tier: str = ""
    edition: str | None = None
    availability_type: str | None = None
    activation_policy: str | None = None
    deletion_protection_enabled: bool = False
    database_flags: tuple[Flag, ...] = ()
    backup_configuration: BackupConfiguration = Field(default_factory=BackupConfiguration)
    data_disk_size_gb: int | None = None


class Address(Answer):
    """Where an instance answers; PRIMARY, PRIVATE or OUTGOING."""

    type: str = ""
    ip_address: str = ""


class Instance(Answer):
    """A Cloud SQL instance.

    RUNNABLE includes one that is stopped: its `settings.activation_policy` is then NEVER.
    """

    name: str
    state: str = ""
    database_version: str = ""
    region: str = ""
    gce_zone: str | None = None
    connection_name: str = ""
    instance_type: str | None = None
    ip_addresses: tuple[Address, ...] = ()
    master_instance_name: str | None = None
    replica_names: tuple[str, ...] = ()
    create_time: AwareDatetime | None = None
    settings: InstanceSettings = Field(default_factory=InstanceSettings)

    @property
    def requires_connector(self) -> bool:
        """Whether nobody comes in at its address but connectors."""
        return (self.settings.model_extra or {}).get("connectorEnforcement") == "REQUIRED"

    @property
    def has_endpoints(self) -> bool:
        """Whether it is reached by Private Service Connect."""
        addresses = (self.settings.model_extra or {}).get("ipConfiguration", {})
        return bool(addresses.get("pscConfig", {}).get("pscEnabled"))

    @property
    def is_by_connector(self) -> bool:
        """Whether connectors alone reach it: nobody else is let in, or it has no address but its endpoints'."""
        return self.requires_connector or self.has_endpoints

    @property
    def encryption_key(self) -> str | None:
        """The customer's own key that encrypts its disk; None is Google's."""
        key: str | None = (self.model_extra or {}).get("diskEncryptionConfiguration", {}).get("kmsKeyName")
        return key


class Fault(Answer):
    """One cause of a failure."""

    kind: str = ""
    code: str = ""
    message: str = ""


class Faults(Answer):
    """Why an operation failed."""

    errors: tuple[Fault, ...] = ()


class Operation(Answer):
    """Work that the service does after it has answered: PENDING, RUNNING, then DONE, be it well or not."""

    name: str
    status: str = ""
    operation_type: str = ""
    target_id: str | None = None
    insert_time: AwareDatetime | None = None
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    error: Faults | None = None
    user: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status == "DONE"


class BackupRun(Answer):
    """One backup: ENQUEUED, RUNNING, SUCCESSFUL, FAILED, and so on."""

    id: int
    instance: str = ""
    status: str = ""
    type: str = ""
    description: str | None = None
    location: str | None = None
    database_version: str | None = None
    enqueued_time: AwareDatetime | None = None
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    window_start_time: AwareDatetime | None = None
    error: Fault | None = None


class RecoveryWindow(Answer):
    """The moments that an instance can be brought back to."""

    earliest_recovery_time: AwareDatetime | None = None
    latest_recovery_time: AwareDatetime | None = None


class User(Answer):
    """A user of an instance; `type` is absent for one with a password."""

    name: str
    type: str = "BUILT_IN"
    host: str | None = None
    instance: str | None = None


class DatabaseOf(Answer):
    """A database of an instance."""

    name: str
    charset: str | None = None
    collation: str | None = None
    instance: str | None = None
