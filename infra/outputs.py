"""What `pulumi stack output` says: the procedures' target, addresses, and what is to be done next."""

from collections.abc import Sequence
from typing import Any

import pulumi

from infra import tunnel
from infra.components.api import Api
from infra.components.database import Database
from infra.components.database_users import OPERATOR, DatabaseUsers
from infra.components.instance_pointer import InstancePointer
from infra.components.load_balancer import LoadBalancer
from infra.components.readers import Readers
from infra.components.registry import Registry
from infra.components.replica import Replica
from infra.environment import Environment

# Of the target's form: runbooks/target.schema.json.
VERSION = 1
PUSH = """\
There is no image yet: everything is there but what runs one. Push it, write its digest down, and go on:
  gcloud auth configure-docker {host}
  docker build --tag {address}/runtime:TAG . && docker push {address}/runtime:TAG
  pulumi config set --stack {stack} --path service.image {address}/runtime@sha256:DIGEST
  pulumi up --stack {stack}"""
SERVED = "The API serves at {url}. Its first key: the README, Deploy it."
POINTED = "Point {domain} at {address} (an A record): the certificate comes by itself, within the hour."


def export(
    env: Environment,
    *,
    database: Database,
    users: DatabaseUsers,
    pointer: InstancePointer,
    replica: Replica | None,
    readers: Readers | None,
    registry: Registry,
    api: Api | None,
    balancer: LoadBalancer | None,
) -> None:
    """Export everything that people and procedures ask for."""
    services = _services(env, pointer) if api is not None else []
    pulumi.export(
        "target",
        target(env, database=database, users=users, replica=replica, readers=readers, services=services),
    )
    pulumi.export("registry", registry.address)
    pulumi.export("next", _next(env, registry, api, balancer))
    if api is not None:
        pulumi.export("api", api.url)
    if balancer is not None:
        pulumi.export("address", balancer.address)


def target(
    env: Environment,
    *,
    database: Database,
    users: DatabaseUsers,
    replica: Replica | None,
    readers: Readers | None,
    services: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """What procedures have to know of the environment."""
    config = env.config
    return {
        "version": VERSION,
        "name": env.stack,
        "stack": env.stack,
        "project": config.project,
        "region": config.region,
        "instance": database.instance.name,
        "dr_region": config.dr_region,
        "dr_replica": replica.instance.name if replica else None,
        "database": config.database.name,
        "operator": {"user": OPERATOR, "secret": users.operator_password.id},
        "logins": readers.logins if readers else [],
        "services": services,
        "connection": _connection(env),
    }


def _services(env: Environment, pointer: InstancePointer) -> list[dict[str, Any]]:
    """Who comes in as itself. Jobs need no revision: each execution reads the pointer."""
    config = env.config
    service = f"projects/{config.project}/locations/{config.region}/services/{env.name('api')}"
    return [
        {"name": "api", "secret": pointer.secret.id, "service": service},
        {"name": "jobs", "secret": pointer.secret.id},
    ]


def _connection(env: Environment) -> dict[str, Any]:
    way = {"via": "connector", "ip_type": tunnel.ip_type(env)}
    # Without a bastion, procedures run on a machine in the network.
    return {**way, "through": tunnel.through()} if env.config.access.bastion else way


def _next(env: Environment, registry: Registry, api: Api | None, balancer: LoadBalancer | None) -> pulumi.Output[str]:
    if api is None:
        return registry.address.apply(
            lambda address: PUSH.format(host=address.partition("/")[0], address=address, stack=env.stack)
        )
    served = api.url.apply(lambda url: SERVED.format(url=url))
    if balancer is None:
        return served
    pointed = balancer.address.apply(lambda address: POINTED.format(domain=env.config.service.domain, address=address))
    return pulumi.Output.concat(served, "\n", pointed)
