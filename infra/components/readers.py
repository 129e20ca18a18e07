"""Two logins that read, for what cannot come in as a service account."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_random as random

from infra import logins, urls
from infra.components.database import Database
from infra.components.database_users import PASSWORD_LENGTH
from infra.components.identity import Identity
from infra.components.secret_store import SecretStore
from infra.components.stored_secret import Keepers, Rotation, StoredSecret, StoredSecretArgs
from infra.environment import Environment

NAME = "reader"


@dataclass(frozen=True)
class ReadersArgs:
    """What they need.

    Args:
        database: where they come in.
        store: where the URL is.
        identity: with the role of whoever replaces it.
        after: what makes the group that they are in: the migrate job.
    """

    database: Database
    store: SecretStore
    identity: Identity
    after: Sequence[pulumi.Resource]


class Readers(pulumi.ComponentResource):
    """A pair, of which one is used while the other gets a password (rotate-password).

    They are in the readers' group from the start. Without a role of their own Google would make them members of
    cloudsqlsuperuser: https://cloud.google.com/sql/docs/postgres/users, as of 2026-11.

    Attributes:
        url: the database's URL, of the first one until a procedure says otherwise.
        logins: what the procedures' target says of them.
    """

    def __init__(self, env: Environment, args: ReadersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Readers", env.name("readers"), None, opts)
        mine = pulumi.ResourceOptions(parent=self)
        passwords = []
        for user in logins.READERS:
            name = env.name(f"user-{user}")
            password = random.RandomPassword(
                name, random.RandomPasswordArgs(length=PASSWORD_LENGTH, special=False), mine
            ).result
            passwords.append(password)
            gcp.sql.User(
                name,
                gcp.sql.UserArgs(
                    name=user,
                    instance=args.database.instance.name,
                    type="BUILT_IN",
                    password=password,
                    database_roles=[logins.READONLY],
                    deletion_policy="ABANDON",
                ),
                pulumi.ResourceOptions(parent=self, depends_on=args.after, ignore_changes=["password"]),
            )
        url = pulumi.Output.all(passwords[0], args.database.connection_name).apply(
            lambda known: urls.database_url(logins.READERS[0], known[0], env.config.database.name, known[1])
        )
        # Whoever it is for is given it by the operators.
        keepers = Keepers(args.identity.secret_keeper, env.config.access.operators)
        self.url = StoredSecret(
            env, StoredSecretArgs("reader-url", url, {}, args.store, Rotation.PROCEDURE, keepers), mine
        )
        self.logins: list[pulumi.Input[Any]] = [
            {"name": NAME, "users": list(logins.READERS), "secret": self.url.id},
        ]
        self.register_outputs({})
