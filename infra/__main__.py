"""The program: what an environment is made of, in reading order."""

import pulumi
import pulumi_gcp as gcp
from pulumi.runtime import config as pulumi_config

from infra import config
from infra.components.project_services import ProjectServices
from infra.environment import Environment
from infra.errors import ConfigError

try:
    # Whatever is wrong is said before anything is registered.
    settings = config.load(pulumi_config.CONFIG.get() or pulumi_config.get_config_env())
except ConfigError as error:
    # Pulumi shows its text alone, without a traceback.
    raise pulumi.RunError(str(error)) from error
env = Environment(pulumi.get_stack(), settings)

services = ProjectServices(
    env,
    pulumi.ResourceOptions(
        provider=gcp.Provider("services", gcp.ProviderArgs(project=settings.project, region=settings.region))
    ),
)
# All else waits for the APIs.
google = gcp.Provider(
    "google",
    gcp.ProviderArgs(project=settings.project, region=settings.region, default_labels=env.labels),
    pulumi.ResourceOptions(depends_on=services),
)
