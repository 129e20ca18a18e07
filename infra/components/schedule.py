"""What happens by the clock."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.api import Api
from infra.components.identity import Identity
from infra.components.jobs import Jobs
from infra.duties import Duty
from infra.environment import Environment
from infra.runtime_environment import audience

CLOCK = "Etc/UTC"
RUN = "https://run.googleapis.com/v2"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EACH_MINUTE = "* * * * *"
# What is short is asked of the API.
ROUTES = {"publish-database-metrics": "/api/v1/monitoring/database/publish-metrics"}


@dataclass(frozen=True)
class ScheduleArgs:
    """What it needs.

    Args:
        identity: who asks.
        jobs: what is started.
        api: what is called.
    """

    identity: Identity
    jobs: Jobs
    api: Api


class Schedule(pulumi.ComponentResource):
    """A request for each job that has a schedule, and for each route; each with an identity said out loud."""

    def __init__(self, env: Environment, args: ScheduleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Schedule", env.name("schedule"), None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._email = args.identity.email(Duty.SCHEDULE)
        for job, config in env.config.jobs.all.items():
            if config.schedule is not None and job in args.jobs.jobs:
                self._job(env, args, args.jobs.jobs[job], env.name(config.command), config.schedule)
        for name, path in ROUTES.items():
            self._route(env, env.name(name), args.api.url.apply(f"{{}}{path}".format))
        self.register_outputs({})

    def _job(self, env: Environment, args: ScheduleArgs, job: gcp.cloudrunv2.Job, name: str, schedule: str) -> None:
        starts = gcp.cloudrunv2.JobIamMember(
            name,
            gcp.cloudrunv2.JobIamMemberArgs(
                name=job.name,
                location=env.config.region,
                role="roles/run.invoker",
                member=args.identity.member(Duty.SCHEDULE),
            ),
            self._child,
        )
        gcp.cloudscheduler.Job(
            name,
            gcp.cloudscheduler.JobArgs(
                name=name,
                region=env.config.region,
                schedule=schedule,
                time_zone=CLOCK,
                attempt_deadline="180s",
                # It is asked to begin; whether it ends well is the job's.
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=3, min_backoff_duration="10s"),
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    uri=job.name.apply(lambda own: f"{_jobs(env)}/{own}:run"),
                    http_method="POST",
                    oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(
                        service_account_email=self._email, scope=SCOPE
                    ),
                ),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[starts]),
        )

    def _route(self, env: Environment, name: str, uri: pulumi.Output[str]) -> None:
        gcp.cloudscheduler.Job(
            name,
            gcp.cloudscheduler.JobArgs(
                name=name,
                region=env.config.region,
                schedule=EACH_MINUTE,
                time_zone=CLOCK,
                attempt_deadline="30s",
                # The next one comes in a minute.
                retry_config=gcp.cloudscheduler.JobRetryConfigArgs(retry_count=0),
                http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                    uri=uri,
                    http_method="POST",
                    # Without an audience it would be the address, which the service is not told.
                    oidc_token=gcp.cloudscheduler.JobHttpTargetOidcTokenArgs(
                        service_account_email=self._email, audience=audience(env)
                    ),
                ),
            ),
            self._child,
        )


def _jobs(env: Environment) -> str:
    return f"{RUN}/projects/{env.config.project}/locations/{env.config.region}/jobs"
