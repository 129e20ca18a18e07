"""The schema: brought to an image's before anything of that image serves."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.duties import Duty
from infra.environment import Environment
from infra.workload import WorkloadArgs, digest_of, job_template

FAILED = "CONDITION_FAILED"
# Of an image's digest, and of all that an execution is told: with the job's name fewer than 63.
IMAGE_CHARACTERS = 12
TOLD_CHARACTERS = 8


@dataclass(frozen=True)
class MigrationArgs:
    """What it needs.

    Args:
        workload: what everything needs that runs the image.
    """

    workload: WorkloadArgs


class Migration(pulumi.ComponentResource):
    """A job that runs when the image changes, or what it is told, and whose end `pulumi up` waits for.

    What depends on it is not touched when it fails. A failed execution cannot be run again under its name: mend the
    cause, write one more `jobs.migrate.attempt`, and `pulumi up`. Where a newer release is given up, name its image in
    `jobs.migrate.image`: the job then stays as it is, since an older release cannot migrate a newer schema.

    Attributes:
        job: the job.
        succeeded: the name of the execution that it waited for; an error when that failed, also in a later run.
    """

    job: gcp.cloudrunv2.Job
    succeeded: pulumi.Output[str]

    def __init__(self, env: Environment, args: MigrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Migration", env.name("migration"), None, opts)
        config = env.config.jobs.migrate
        name = env.name("migrate")
        image = _newest_image(env)
        template = job_template(args.workload, "migrate", config, image)
        # Google refuses a token that it has seen, whatever else changes: each change of the job has one of its own.
        told = digest_of([template, dict(env.labels), config.attempt])
        token = told.apply(lambda digest: f"{_short(image)}-{digest[:TOLD_CHARACTERS]}")
        self.job = gcp.cloudrunv2.Job(
            name,
            gcp.cloudrunv2.JobArgs(
                name=name,
                location=env.config.region,
                template=template,
                run_execution_token=token,
                deletion_protection=False,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=args.workload.before(Duty.MIGRATE),
                ignore_changes=["client", "clientVersion"],
                # An execution that waits for a lock is given up by its own timeout, which says why.
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{config.timeout_seconds + 600}s", update=f"{config.timeout_seconds + 600}s"
                ),
            ),
        )
        # Pulumi keeps the new token although its execution failed, and would go on in the next run:
        # https://github.com/hashicorp/terraform-provider-google/issues/22565. So the job itself is asked.
        found = gcp.cloudrunv2.get_job_output(
            name=self.job.name,
            location=env.config.region,
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=[self.job]),
        )
        self.succeeded = pulumi.Output.all(name, token, found.terminal_conditions).apply(succeeded)
        self.register_outputs({})


def _newest_image(env: Environment) -> str | None:
    """The image that the schema is made to suit; those beside it, and before it, can do with that."""
    service = env.config.service
    return env.config.jobs.migrate.image or service.canary_image or service.image


def _short(image: str | None) -> str:
    return (image or "").rpartition("sha256:")[2][:IMAGE_CHARACTERS]


def succeeded(parts: list[object]) -> str:
    """The execution by its name, the token and the conditions of its job.

    Raises:
        RunError: it failed, and this is not a preview.
    """
    name, token, conditions = parts
    assert isinstance(conditions, list)  # noqa: S101  # as the SDK declares it
    # A preview is of the run that mends it.
    if not pulumi.runtime.is_dry_run() and any(one.state == FAILED for one in conditions):
        message = (
            f"the migration {name}-{token} failed, and nothing after it was touched; read its log, mend the cause, "
            "write one more jobs.migrate.attempt, and run pulumi up again"
        )
        raise pulumi.RunError(message)
    return f"{name}-{token}"
