"""The operator's way to the database: by IAP to the bastion, and from there by its proxy."""

from infra.environment import Environment

# Where `holdfast connect` lets the operator's machine in. The target's connection says the same.
HOST = "127.0.0.1"
LOCAL_PORT = 5433
# Where the proxy listens on the bastion.
PROXY_PORT = 5432


def machine(env: Environment) -> str:
    """The bastion's name."""
    return env.name("bastion")


def zone(env: Environment) -> str:
    """Where the bastion is."""
    return f"{env.config.region}-{env.config.access.bastion_zone}"
