"""The pointer: which instance the service and the jobs come in to."""

from dataclasses import dataclass

import pulumi

from infra.components.database import Database
from infra.components.identity import Identity
from infra.components.secret_store import SecretStore
from infra.components.stored_secret import Keepers, Rotation, StoredSecret, StoredSecretArgs
from infra.duties import Duty
from infra.environment import Environment

READERS = (Duty.API, Duty.MIGRATE, Duty.JOBS, Duty.VERIFY)


@dataclass(frozen=True)
class InstancePointerArgs:
    """What it needs.

    Args:
        database: to which it leads at first.
        identity: who reads it, and the role of whoever moves it.
        store: where it is.
    """

    database: Database
    identity: Identity
    store: SecretStore


class InstancePointer(pulumi.ComponentResource):
    """PROJECT:REGION:INSTANCE, which a recovery into another instance moves.

    It is no secret. But Secret Manager is the one place that Cloud Run reads again when an instance or an execution
    starts: with a plain value the service and each job would have to be changed, and the migration would then be run,
    all by this program, before anybody is served after a recovery. What a procedure wrote there is newer than what
    this program says, which leaves it alone.

    Attributes:
        secret: its newest version is what GCP_SQL_INSTANCE is.
    """

    secret: StoredSecret

    def __init__(self, env: Environment, args: InstancePointerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:InstancePointer", env.name("instance-pointer"), None, opts)
        self.secret = StoredSecret(
            env,
            StoredSecretArgs(
                "instance",
                args.database.connection_name,
                {str(duty): args.identity.member(duty) for duty in READERS},
                args.store,
                Rotation.PROCEDURE,
                Keepers(args.identity.secret_keeper, env.config.access.operators),
                # It is no password.
                is_reminded=False,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
