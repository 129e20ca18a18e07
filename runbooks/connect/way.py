"""Which machine is the way in: from the stack's settings alone, so that no state of the cloud has to be read."""

from dataclasses import dataclass
from pathlib import Path

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
    """

    project: str
    zone: str
    machine: str
    database: str

    def command(self, gcloud: str, port: int) -> tuple[str, ...]:
        """The program that opens it, as of gcloud 528: `gcloud compute start-iap-tunnel --help`.

        Args:
            gcloud: where the program is.
            port: of this machine, at which the database then is.
        """
        return (
            gcloud,
            "compute",
            "start-iap-tunnel",
            self.machine,
            str(tunnel.PROXY_PORT),
            f"--local-host-port={tunnel.HOST}:{port}",
            f"--zone={self.zone}",
            f"--project={self.project}",
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
    )
