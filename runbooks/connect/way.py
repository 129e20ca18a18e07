"""Which machine is the way in: from the stack's settings alone, so that no state of the cloud has to be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra import config, stack_files, tunnel
from infra.environment import Environment
from infra.errors import ConfigError
from runbooks.connect.errors import ConnectError


@dataclass(frozen=True)
class Way:
    """The way into a stack's database.

    Args:
        project: Google's project.
        zone: of the machine.
        machine: the bastion.
        database: the database's name in PostgreSQL.
        instance: its name, where the settings say it, as after a recovery.
        primary: what its name begins with otherwise.
        ip_type: which of its addresses is taken.
        secret: the one that has the operator's password.
    """

    project: str
    zone: str
    machine: str
    database: str
    instance: str | None
    primary: str
    ip_type: Literal["private", "psc"]
    secret: str

    def command(self, gcloud: str, port: int) -> tuple[str, ...]:
        """The program that opens it, as of gcloud 528 (`gcloud compute ssh --help`) and OpenSSH's ssh_config(5).

        Args:
            gcloud: where the program is.
            port: of this machine, at which the SOCKS proxy then is.
        """
        return (
            gcloud,
            "compute",
            "ssh",
            self.machine,
            "--tunnel-through-iap",
            f"--zone={self.zone}",
            f"--project={self.project}",
            # Who has no key for it gets one.
            "--quiet",
            "--",
            "-N",
            "-D",
            f"{tunnel.HOST}:{port}",
            "-o",
            "ExitOnForwardFailure=yes",
            # A tunnel that is dead is noticed within 45 seconds, and ends.
            "-o",
            "ServerAliveInterval=15",
        )


def way_into(stack: str, folder: Path) -> Way:
    """The way into a stack's database.

    Args:
        stack: its name, as prod.
        folder: where Pulumi.yaml is.

    Raises:
        ConnectError: there is no such stack, its settings are wrong, or it has no bastion.
    """
    try:
        settings = config.load(stack_files.read(stack, folder))
    except ConfigError as error:
        raise ConnectError(str(error)) from None
    if not settings.access.bastion:
        message = (
            f"{stack} has no bastion: write access.bastion: true into {stack_files.STACK_FILE.format(stack)}, "
            "with access.operators, and run pulumi up"
        )
        raise ConnectError(message)
    env = Environment(stack, settings)
    return Way(
        project=settings.project,
        zone=tunnel.zone(env),
        machine=tunnel.machine(env),
        database=settings.database.name,
        instance=settings.database.instance,
        primary=env.name("database"),
        ip_type=tunnel.ip_type(env),
        secret=env.name("operator-password"),
    )
