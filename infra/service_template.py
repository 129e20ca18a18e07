"""Of which the API's revisions are made."""

import pulumi_gcp as gcp

from infra.components.encryption import Purpose
from infra.duties import Duty
from infra.environment import Environment
from infra.runtime_environment import PORT, Variable
from infra.urls import AUTHORITY_FILE, AUTHORITY_FOLDER
from infra.workload import EGRESS, WorkloadArgs

# The wait for a connection, the statement, and the answer's way: the API says itself that it is late.
MORE_THAN_A_STATEMENT_SECONDS = 40
LIVE = "/health/live"
AUTHORITY_VOLUME = "cache-authority"
READABLE = 0o444


def service_template(env: Environment, args: WorkloadArgs, image: str) -> gcp.cloudrunv2.ServiceTemplateArgs:
    """A revision without its name.

    Args:
        env: the environment.
        args: what it needs.
        image: what it runs, by digest.
    """
    config = env.config.service
    return gcp.cloudrunv2.ServiceTemplateArgs(
        containers=[_container(env, args, image)],
        service_account=args.identity.email(Duty.API),
        execution_environment="EXECUTION_ENVIRONMENT_GEN2",
        max_instance_request_concurrency=config.concurrency,
        timeout=f"{config.request_timeout_seconds + MORE_THAN_A_STATEMENT_SECONDS}s",
        session_affinity=False,
        encryption_key=args.encryption.key(Purpose.SERVICE),
        vpc_access=gcp.cloudrunv2.ServiceTemplateVpcAccessArgs(
            egress=EGRESS,
            network_interfaces=[
                gcp.cloudrunv2.ServiceTemplateVpcAccessNetworkInterfaceArgs(
                    network=args.network.network.id, subnetwork=args.network.service_subnet.id
                )
            ],
        ),
        volumes=[
            gcp.cloudrunv2.ServiceTemplateVolumeArgs(
                name=AUTHORITY_VOLUME,
                secret=gcp.cloudrunv2.ServiceTemplateVolumeSecretArgs(
                    secret=args.environment.authority.secret.secret_id,
                    # The image's user is not the one who mounts.
                    default_mode=READABLE,
                    items=[gcp.cloudrunv2.ServiceTemplateVolumeSecretItemArgs(path=AUTHORITY_FILE, version="latest")],
                ),
            )
        ],
    )


def _container(env: Environment, args: WorkloadArgs, image: str) -> gcp.cloudrunv2.ServiceTemplateContainerArgs:
    config = env.config.service
    return gcp.cloudrunv2.ServiceTemplateContainerArgs(
        image=image,
        args=["serve"],
        envs=[_variable(one) for one in args.environment.of_service()],
        ports=gcp.cloudrunv2.ServiceTemplateContainerPortsArgs(container_port=PORT),
        resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(
            limits={"cpu": str(config.cpus), "memory": f"{config.memory_mb}Mi"}, cpu_idle=True, startup_cpu_boost=True
        ),
        # Not /health/ready: with the database down no instance would start to say so and to answer from the cache, and
        # after a migration none of the former release, which a rollback needs, since the schema is ahead of it.
        startup_probe=gcp.cloudrunv2.ServiceTemplateContainerStartupProbeArgs(
            http_get=gcp.cloudrunv2.ServiceTemplateContainerStartupProbeHttpGetArgs(path=LIVE, port=PORT),
            period_seconds=3,
            timeout_seconds=3,
            failure_threshold=20,
        ),
        liveness_probe=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeArgs(
            http_get=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeHttpGetArgs(path=LIVE, port=PORT),
            period_seconds=10,
            timeout_seconds=5,
            failure_threshold=3,
        ),
        volume_mounts=[
            gcp.cloudrunv2.ServiceTemplateContainerVolumeMountArgs(name=AUTHORITY_VOLUME, mount_path=AUTHORITY_FOLDER)
        ],
    )


def _variable(variable: Variable) -> gcp.cloudrunv2.ServiceTemplateContainerEnvArgs:
    if variable.secret is None:
        return gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(name=variable.name, value=variable.value)
    return gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(
        name=variable.name,
        value_source=gcp.cloudrunv2.ServiceTemplateContainerEnvValueSourceArgs(
            secret_key_ref=gcp.cloudrunv2.ServiceTemplateContainerEnvValueSourceSecretKeyRefArgs(
                secret=variable.secret.secret.secret_id, version="latest"
            )
        ),
    )
