"""The API: a service of Cloud Run."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.migration import Migration
from infra.duties import Duty
from infra.environment import Environment
from infra.service_template import service_template
from infra.workload import WorkloadArgs, digest_of

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
WHOLE = 100
DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class ApiArgs:
    """What it needs.

    Args:
        workload: what everything needs that runs the image.
        migration: what has to succeed before a revision is made.
    """

    workload: WorkloadArgs
    migration: Migration


class Api(pulumi.ComponentResource):
    """The service, its revisions and who gets how much of the traffic.

    A revision is named by a digest of all that makes it: the same settings have the same revision, so that a canary
    that is kept, or given up, starts nothing anew. A canary is begun by itself: what it stands beside must be there.

    Attributes:
        service: the service.
        url: where it is called.
    """

    service: gcp.cloudrunv2.Service
    url: pulumi.Output[str]

    def __init__(self, env: Environment, args: ApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Api", env.name("api"), None, opts)
        config = env.config.service
        name = env.name("api")
        image, canary = config.image or "", config.canary_image
        template = service_template(env, args.workload, canary or image)
        template.revision = self._revision(env, args, canary or image)
        traffic = [gcp.cloudrunv2.ServiceTrafficArgs(type=LATEST, percent=WHOLE)]
        if canary is not None:
            stable = self._revision(env, args, image)
            traffic = [
                _share(stable, WHOLE - config.canary_percent),
                _share(template.revision, config.canary_percent),
            ]
        self.service = gcp.cloudrunv2.Service(
            name,
            gcp.cloudrunv2.ServiceArgs(
                name=name,
                location=env.config.region,
                template=template,
                traffics=traffic,
                # Of all revisions together, so that no split opens more connections than the database takes.
                scaling=gcp.cloudrunv2.ServiceScalingArgs(
                    min_instance_count=config.min_instances, max_instance_count=config.max_instances
                ),
                ingress="INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" if config.load_balancer else "INGRESS_TRAFFIC_ALL",
                default_uri_disabled=config.load_balancer,
                # Waived: the API checks keys and tokens itself, and Cloud Run's check would take the Authorization
                # header for its own.
                invoker_iam_disabled=True,
                deletion_protection=env.config.production,
            ),
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.migration, *args.workload.before(Duty.API)],
                # What gcloud and the console write of themselves.
                ignore_changes=["client", "clientVersion"],
            ),
        )
        self.url = pulumi.Output.from_input(f"https://{config.domain}") if config.load_balancer else self.service.uri
        self.register_outputs({})

    @staticmethod
    def _revision(env: Environment, args: ApiArgs, image: str) -> pulumi.Output[str]:
        told = args.workload.environment
        secrets = [variable.secret for variable in told.of_service() if variable.secret is not None]
        # An instance reads its secrets' newest versions when it starts, so that a procedure that replaces one need not
        # know this template; what this program replaces makes a revision by its version.
        versions = [secret.version.name for secret in (*secrets, told.authority)]
        digest = digest_of([service_template(env, args.workload, image), versions])
        # An execution of the migration that failed is an error here, before anything is asked of the service.
        return pulumi.Output.all(digest, args.migration.succeeded).apply(
            lambda known: f"{env.name('api')}-{known[0][:DIGEST_CHARACTERS]}"
        )


def _share(revision: pulumi.Input[str], percent: int) -> gcp.cloudrunv2.ServiceTrafficArgs:
    return gcp.cloudrunv2.ServiceTrafficArgs(type=BY_REVISION, revision=revision, percent=percent)
