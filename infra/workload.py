"""What everything that runs the runtime's image has in common."""

import hashlib
import json
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.encryption import Encryption, Purpose
from infra.components.identity import Identity
from infra.components.network import Network
from infra.duties import Duty
from infra.runtime_environment import RuntimeEnvironment, Variable, duty_of
from infra.sections.jobs import JobConfig

# Private addresses go through the network; Google's APIs and the world do not.
EGRESS = "PRIVATE_RANGES_ONLY"
JOB_CPUS = 1


@dataclass(frozen=True)
class WorkloadArgs:
    """What it needs.

    Args:
        environment: what the runtime is told.
        identity: the service accounts.
        network: from where the database is reached.
        encryption: the keys.
    """

    environment: RuntimeEnvironment
    identity: Identity
    network: Network
    encryption: Encryption

    def before(self, duty: Duty) -> list[pulumi.Resource]:
        """What a program of a duty must find when it starts: logins, and secrets that it may read."""
        told = self.environment
        first: list[pulumi.Resource] = [self.identity, told.pointer, told.users]
        return [*first, told.secret_key, told.cache] if duty is Duty.API else first


def digest_of(parts: object) -> pulumi.Output[str]:
    """Names what comes of inputs: the same for the same. Unknown where one is."""
    return pulumi.Output.from_input(parts).apply(
        lambda known: hashlib.sha256(json.dumps(known, default=vars, sort_keys=True).encode()).hexdigest()
    )


def job_template(args: WorkloadArgs, name: str, config: JobConfig, image: str | None) -> gcp.cloudrunv2.JobTemplateArgs:
    """What a job runs: one task of one command.

    Args:
        args: what it needs.
        name: the job's, in the settings.
        config: its settings.
        image: of which it runs the command.
    """
    if image is None:
        message = "service.image: there is none to run"
        raise pulumi.RunError(message)
    return gcp.cloudrunv2.JobTemplateArgs(
        task_count=1,
        template=gcp.cloudrunv2.JobTemplateTemplateArgs(
            containers=[
                gcp.cloudrunv2.JobTemplateTemplateContainerArgs(
                    image=image,
                    args=[config.command, *config.options],
                    envs=[_job_variable(one) for one in args.environment.of_job(name)],
                    resources=gcp.cloudrunv2.JobTemplateTemplateContainerResourcesArgs(
                        limits={"cpu": str(JOB_CPUS), "memory": f"{config.memory_mb}Mi"}
                    ),
                )
            ],
            service_account=args.identity.email(duty_of(name)),
            timeout=f"{config.timeout_seconds}s",
            max_retries=config.retries,
            encryption_key=args.encryption.key(Purpose.SERVICE),
            vpc_access=gcp.cloudrunv2.JobTemplateTemplateVpcAccessArgs(
                egress=EGRESS,
                network_interfaces=[
                    gcp.cloudrunv2.JobTemplateTemplateVpcAccessNetworkInterfaceArgs(
                        network=args.network.network.id, subnetwork=args.network.service_subnet.id
                    )
                ],
            ),
        ),
    )


def _job_variable(variable: Variable) -> gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs:
    if variable.secret is None:
        return gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs(name=variable.name, value=variable.value)
    return gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs(
        name=variable.name,
        value_source=gcp.cloudrunv2.JobTemplateTemplateContainerEnvValueSourceArgs(
            secret_key_ref=gcp.cloudrunv2.JobTemplateTemplateContainerEnvValueSourceSecretKeyRefArgs(
                secret=variable.secret.secret.secret_id, version="latest"
            )
        ),
    )
