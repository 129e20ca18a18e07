"""What the API signs with."""

from dataclasses import dataclass

import pulumi
import pulumi_random as random

from infra.components.identity import Identity
from infra.components.secret_store import SecretStore
from infra.components.stored_secret import Rotation, StoredSecret, StoredSecretArgs
from infra.duties import Duty
from infra.environment import Environment

LENGTH = 64


@dataclass(frozen=True)
class SecretKeyArgs:
    """What it needs.

    Args:
        store: where it is kept.
        identity: who reads it.
    """

    store: SecretStore
    identity: Identity


class SecretKey(pulumi.ComponentResource):
    """The key of the digests of API keys: another one ends every key, so it is never made anew."""

    secret: StoredSecret

    def __init__(self, env: Environment, args: SecretKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:SecretKey", env.name("secret-key"), None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = random.RandomPassword(
            env.name("secret-key"),
            random.RandomPasswordArgs(length=LENGTH, special=False),
            pulumi.ResourceOptions(parent=self, protect=env.config.production),
        )
        readers: dict[str, pulumi.Input[str]] = {Duty.API: args.identity.member(Duty.API)}
        stored = StoredSecretArgs("secret-key", key.result, readers, args.store, Rotation.NEVER)
        self.secret = StoredSecret(env, stored, child)
        self.register_outputs({})
