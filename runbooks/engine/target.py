"""What a procedure needs to know of an environment: one file, which the infrastructure's outputs are too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runbooks.engine.errors import RunbookError, told

VERSION = 1
SECRET = r"projects/[^/]+/secrets/[^/]+"  # noqa: S105  # what a name looks like
SERVICE = r"projects/[^/]+/locations/[^/]+/services/[^/]+"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Operator(_Part):
    """The login by which procedures come into the database."""

    user: str = Field(min_length=1, description="Its name in PostgreSQL; a member of cloudsqlsuperuser.")
    secret: str = Field(pattern=SECRET, description="The secret whose newest version is its password.")


class Login(_Part):
    """A login of an application, which has two users in turn: one is used while the other gets a password."""

    name: str = Field(min_length=1, description="What people call it.")
    users: tuple[str, str] = Field(description="Two users with the same memberships.")
    secret: str = Field(
        pattern=SECRET, description="The secret whose newest version is the application's database URL."
    )
    service: str | None = Field(
        default=None, pattern=SERVICE, description="The Cloud Run service that reads the secret when it starts."
    )


class Service(_Part):
    """What comes in as itself, by IAM, and has to be told where."""

    name: str = Field(min_length=1, description="What people call it.")
    secret: str = Field(
        pattern=SECRET, description="The secret whose newest version is its GCP_SQL_INSTANCE: PROJECT:REGION:INSTANCE."
    )
    service: str | None = Field(
        default=None,
        pattern=SERVICE,
        description="The Cloud Run service that reads the secret when it starts; none for jobs, of which each "
        "execution reads it.",
    )


class Address(_Part):
    """The instance's own address, as from a machine in its network."""

    via: Literal["address"] = "address"


class Proxy(_Part):
    """A Cloud SQL Auth Proxy on the operator's machine."""

    via: Literal["proxy"]
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)


class Connector(_Part):
    """Google's connector, in the console itself: it reaches the instances' addresses directly, or through a proxy."""

    via: Literal["connector"]
    ip_type: Literal["private", "psc"] = Field(default="private", description="Which of an instance's addresses.")
    through: str | None = Field(
        default=None,
        pattern=r"^socks5://[^/:@\s]+:\d{1,5}$",
        description="A SOCKS proxy by which they are reached, as `holdfast connect` opens one.",
    )


class Endpoints(_Part):
    """Where services are, if they are not Google's."""

    sql: str | None = None
    secretmanager: str | None = None
    run: str | None = None
    tokens: str | None = Field(
        default=None, description="Where tokens are had for credentials; with it, credentials are tested in any case."
    )
    places: str | None = Field(
        default=None, description="The sandbox's list of hosts and ports: Google's API has no field for a port."
    )

    @classmethod
    def of_sandbox(cls, addresses: Mapping[str, str]) -> "Endpoints":
        """Those of a sandbox, by the names that it gives its services."""
        return cls(
            sql=addresses["sql"],
            secretmanager=addresses["secretmanager"],
            run=addresses["run"],
            places=f"{addresses['sql']}/sandbox/instances",
        )


class Objectives(_Part):
    """What recovery has to reach."""

    rto_seconds: float = Field(default=3600.0, gt=0, description="From the call to a database that serves.")
    rpo_seconds: float = Field(default=300.0, gt=0, description="Of the newest writes, how much may be lost.")


class Target(_Part):
    """An environment. It holds no secrets, only their names."""

    version: Literal[1] = Field(description="Of this file's form.")
    name: str = Field(min_length=1, description="What people call the environment, such as prod.")
    project: str = Field(min_length=1, description="Google's project.")
    region: str = Field(min_length=1)
    instance: str = Field(min_length=1, description="The Cloud SQL instance that serves.")
    dr_replica: str | None = Field(default=None, description="Its replica in another region.")
    dr_region: str | None = Field(default=None, description="The region for a replica against disasters.")
    database: str = Field(default="holdfast", min_length=1)
    operator: Operator
    logins: tuple[Login, ...] = ()
    services: tuple[Service, ...] = ()
    connection: Address | Proxy | Connector = Field(
        default=Address(),
        discriminator="via",
        description="How the instance is reached. One that enforces connectors, or that has Private Service Connect, "
        "is reached by Google's connector in any case, unless a proxy leads to it.",
    )
    endpoints: Endpoints = Endpoints()
    objectives: Objectives = Objectives()
    stack: str | None = Field(default=None, description="The Pulumi stack that made it.")


def load(path: Path) -> Target:
    """Read a target.

    Raises:
        RunbookError: it cannot be read or is none; names each field and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"the target {path} cannot be read: {error}"
        raise RunbookError(message) from None
    return parse(text, str(path))


def parse(text: str, where: str) -> Target:
    """Read a target from JSON.

    Raises:
        RunbookError: it is none; names each field and what is wrong with it.
    """
    try:
        return Target.model_validate_json(text)
    except ValidationError as error:
        faults = told(error)
        message = f"{where} is no target: {faults} (runbooks/target.schema.json says what it has)"
        raise RunbookError(message) from None


def schema() -> str:
    """The form of the file, as JSON Schema."""
    return json.dumps(Target.model_json_schema(), indent=2) + "\n"
