"""What Cloud Run runs to its end, but for the migration."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.migration import Migration
from infra.environment import Environment
from infra.runtime_environment import duty_of
from infra.workload import WorkloadArgs, job_template


@dataclass(frozen=True)
class JobsArgs:
    """What it needs.

    Args:
        workload: what everything needs that runs the image.
        migration: what an image's jobs wait for.
    """

    workload: WorkloadArgs
    migration: Migration


class Jobs(pulumi.ComponentResource):
    """The jobs by their names in the settings."""

    jobs: Mapping[str, gcp.cloudrunv2.Job]

    def __init__(self, env: Environment, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Jobs", env.name("jobs"), None, opts)
        # Of an image whose migration failed no job is touched, also in a later run: this is an error then.
        migrated = args.migration.succeeded.apply(lambda _: args.migration.job)
        made = {}
        for job, config in env.config.jobs.all.items():
            if job == "migrate":
                continue
            name = env.name(config.command)
            made[job] = gcp.cloudrunv2.Job(
                name,
                gcp.cloudrunv2.JobArgs(
                    name=name,
                    location=env.config.region,
                    template=job_template(args.workload, job, config, env.config.service.image),
                    # It keeps nothing.
                    deletion_protection=False,
                ),
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[args.migration, migrated, *args.workload.before(duty_of(job))],
                    ignore_changes=["client", "clientVersion"],
                ),
            )
        self.jobs = made
        self.register_outputs({})
