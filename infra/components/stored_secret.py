"""One secret: its newest value, who may read it, and when it is to be replaced."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import pulumi
import pulumi_gcp as gcp

from infra.components.secret_store import SecretStore
from infra.environment import Environment

DAY_SECONDS = 24 * 60 * 60
ACCESSOR = "roles/secretmanager.secretAccessor"


class Rotation(Enum):
    """Who replaces the value."""

    # `pulumi up`, when what the value is made of has changed.
    PROGRAM = "program"
    # A procedure adds versions, which are newer than the program's: it leaves them alone.
    PROCEDURE = "procedure"
    # Nobody: another value would end what the present one is for.
    NEVER = "never"


@dataclass(frozen=True)
class Keepers:
    """Who replaces the value by a procedure.

    Args:
        role: what that takes.
        members: the people.
    """

    role: pulumi.Input[str]
    members: Sequence[str]


@dataclass(frozen=True)
class StoredSecretArgs:
    """What a secret is.

    Args:
        name: of the secret, after the environment's.
        value: the first one, or the program's newest.
        readers: who may read it: a word for each, and the member.
        store: where it is.
        rotation: who replaces the value.
        keepers: the people who do, where it is a procedure.
        is_reminded: whether somebody is told when it is to be replaced.
    """

    name: str
    value: pulumi.Input[str]
    readers: Mapping[str, pulumi.Input[str]]
    store: SecretStore
    rotation: Rotation = Rotation.PROGRAM
    keepers: Keepers | None = None
    is_reminded: bool = True


class StoredSecret(pulumi.ComponentResource):
    """A secret.

    Attributes:
        secret: Secret Manager's.
        version: the one that the program knows. What reads the secret depends on it: without a version there is none.
        id: projects/PROJECT/secrets/NAME.
    """

    def __init__(self, env: Environment, args: StoredSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        name = env.name(args.name)
        super().__init__("holdfast:infra:StoredSecret", name, None, opts)
        is_reminded = args.is_reminded and args.rotation is not Rotation.NEVER
        self.secret = gcp.secretmanager.Secret(
            name,
            gcp.secretmanager.SecretArgs(
                secret_id=name,
                replication=args.store.replication,
                topics=[gcp.secretmanager.SecretTopicArgs(name=args.store.topic.id)] if is_reminded else None,
                rotation=_reminders(env.config.secrets.rotation_days) if is_reminded else None,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.store.publishes],
                # Anew it would have the program's first value, and not what a procedure has written since.
                protect=env.config.database.deletion_protected and args.rotation is not Rotation.PROGRAM,
                # Each reminder moves it on.
                ignore_changes=["rotation.nextRotationTime"] if is_reminded else None,
            ),
        )
        self.version = gcp.secretmanager.SecretVersion(
            name,
            gcp.secretmanager.SecretVersionArgs(
                secret=self.secret.id,
                secret_data=pulumi.Output.secret(args.value),
                # With another value comes another version. The old one would be destroyed; so it can be enabled again.
                deletion_policy="DISABLE",
            ),
            pulumi.ResourceOptions(
                parent=self, ignore_changes=["secretData"] if args.rotation is Rotation.PROCEDURE else None
            ),
        )
        for reader, member in args.readers.items():
            self._grant(f"{name}-{reader}", ACCESSOR, member)
        if args.keepers is not None:
            for person in dict.fromkeys(args.keepers.members):
                self._grant(f"{name}-{person}", args.keepers.role, person)
        self.id: pulumi.Output[str] = self.secret.id
        self.register_outputs({})

    def _grant(self, name: str, role: pulumi.Input[str], member: pulumi.Input[str]) -> None:
        gcp.secretmanager.SecretIamMember(
            name,
            gcp.secretmanager.SecretIamMemberArgs(secret_id=self.secret.id, role=role, member=member),
            pulumi.ResourceOptions(parent=self),
        )


def _reminders(days: int) -> gcp.secretmanager.SecretRotationArgs:
    # It only counts when the secret is made. Whole days, so that two plans of one day are the same.
    first = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    return gcp.secretmanager.SecretRotationArgs(
        next_rotation_time=f"{first}T00:00:00Z", rotation_period=f"{days * DAY_SECONDS}s"
    )
