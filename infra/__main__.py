"""The program: what an environment is made of, in reading order."""

import pulumi
import pulumi_gcp as gcp
from pulumi.runtime import config as pulumi_config

from infra import config
from infra.components.project_services import ProjectServices
from infra.environment import Environment

# Whatever is wrong with the settings is said before anything is registered.
settings = config.load(pulumi_config.CONFIG.get() or pulumi_config.get_config_env())
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
