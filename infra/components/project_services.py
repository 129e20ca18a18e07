"""The APIs of Google that the project has to have turned on."""

import pulumi
import pulumi_gcp as gcp

from infra.environment import Environment

APIS = (
    "artifactregistry",
    "cloudresourcemanager",
    "cloudscheduler",
    "compute",
    "containerscanning",
    "iam",
    "iap",
    "logging",
    "monitoring",
    "pubsub",
    "redis",
    "run",
    "secretmanager",
    "servicenetworking",
    "serviceusage",
    "sqladmin",
    "storage",
)


class ProjectServices(pulumi.ComponentResource):
    """APIs, turned on and left on: another program in the project may use one."""

    def __init__(self, env: Environment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:ProjectServices", env.name("services"), None, opts)
        for api in _apis(env):
            gcp.projects.Service(
                env.name(api),
                gcp.projects.ServiceArgs(
                    service=f"{api}.googleapis.com", disable_on_destroy=False, disable_dependent_services=False
                ),
                pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})


def _apis(env: Environment) -> tuple[str, ...]:
    config = env.config
    wanted = {
        "bigquery": config.analytics,
        "billingbudgets": config.budget.billing_account is not None,
        "cloudkms": config.customer_managed_keys,
        "oslogin": config.access.bastion,
        # The endpoints of Private Service Connect, and their names.
        "dns": config.database.by_endpoints,
        "networkconnectivity": config.database.by_endpoints,
    }
    return (*APIS, *(name for name, is_wanted in wanted.items() if is_wanted))
