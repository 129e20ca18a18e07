"""Who comes into the database: services and people as themselves, and three logins with a password."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from infra import logins, urls
from infra.components.database import Database
from infra.components.identity import Identity
from infra.components.secret_store import SecretStore
from infra.components.stored_secret import Keepers, Rotation, StoredSecret, StoredSecretArgs
from infra.duties import Duty
from infra.environment import Environment

# The target names it.
OPERATOR = logins.OPERATOR
PASSWORD_LENGTH = 32
# Which duty comes in as its own service account, and which group the migrate job puts it into.
GROUPS = {Duty.API: logins.APP, Duty.JOBS: logins.JOBS, Duty.VERIFY: logins.JOBS}


@dataclass(frozen=True)
class DatabaseUsersArgs:
    """What users need.

    Args:
        database: where they come in.
        identity: the service accounts.
        store: where passwords are.
    """

    database: Database
    identity: Identity
    store: SecretStore


class DatabaseUsers(pulumi.ComponentResource):
    """Users of the instance. None is ever dropped: what it was granted, or owns, is in the way.

    Attributes:
        operator_password: of the login by which procedures come in; rotate-password replaces it.
        migrator_url: of the migrate job, which makes roles.
        verifier_url: by which verify-backup looks at what it restored. A login of its own: rotate-password changes the
            operator's, and a restored instance has the password of its backup's day.
        role_members: DB_ROLE_MEMBERS of the migrate job.
    """

    def __init__(self, env: Environment, args: DatabaseUsersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:DatabaseUsers", env.name("users"), None, opts)
        self._env = env
        self._args = args
        members = [(group, args.identity.database_user(duty)) for duty, group in GROUPS.items()]
        # They mend, and look at, what the migrator made.
        members += [(logins.OWNER, pulumi.Output.from_input(user)) for user in (logins.OPERATOR, logins.VERIFIER)]
        for duty in GROUPS:
            self._user(f"user-{duty}", args.identity.database_user(duty), "CLOUD_IAM_SERVICE_ACCOUNT")
        operators = tuple(dict.fromkeys(env.config.access.operators))
        for member in operators:
            name, kind = logins.iam_user(member)
            self._user(f"user-{name}", name, kind)
            members.append((logins.READONLY, pulumi.Output.from_input(name)))
        self.role_members = pulumi.Output.all(*(user for _, user in members)).apply(
            lambda names: logins.role_members(zip((group for group, _ in members), names, strict=True))
        )
        password = self._login(logins.OPERATOR, Rotation.PROCEDURE)
        keepers = Keepers(args.identity.secret_keeper, operators)
        self.operator_password = StoredSecret(
            env,
            StoredSecretArgs("operator-password", password, {}, args.store, Rotation.PROCEDURE, keepers),
            pulumi.ResourceOptions(parent=self),
        )
        self.migrator_url = self._url(logins.MIGRATOR, "migrator-url", Duty.MIGRATE)
        self.verifier_url = self._url(logins.VERIFIER, "verifier-url", Duty.VERIFY)
        self.register_outputs({})

    def _url(self, user: str, name: str, duty: Duty) -> StoredSecret:
        database = self._env.config.database.name
        url = self._login(user, Rotation.PROGRAM).apply(lambda password: urls.duty_url(user, password, database))
        readers = {str(duty): self._args.identity.member(duty)}
        return StoredSecret(
            self._env, StoredSecretArgs(name, url, readers, self._args.store), pulumi.ResourceOptions(parent=self)
        )

    def _login(self, user: str, rotation: Rotation) -> pulumi.Output[str]:
        """A login with a password. Google makes it a member of cloudsqlsuperuser when no role is said."""
        part = f"user-{user}"
        password = random.RandomPassword(
            self._env.name(part),
            random.RandomPasswordArgs(length=PASSWORD_LENGTH, special=False),
            pulumi.ResourceOptions(parent=self),
        ).result
        self._user(part, user, "BUILT_IN", password, ["password"] if rotation is Rotation.PROCEDURE else None)
        return password

    def _user(
        self,
        part: str,
        name: pulumi.Input[str],
        kind: str,
        password: pulumi.Output[str] | None = None,
        ignored: list[str] | None = None,
    ) -> None:
        gcp.sql.User(
            self._env.name(part),
            gcp.sql.UserArgs(
                name=name,
                instance=self._args.database.instance.name,
                type=kind,
                password=password,
                deletion_policy="ABANDON",
            ),
            pulumi.ResourceOptions(parent=self, ignore_changes=ignored),
        )
