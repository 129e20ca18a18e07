"""What the plan runs on Cloud Run, and the same as Cloud Run's API takes it."""

import copy
from collections.abc import Mapping
from typing import Any

from runbooks.plan.model import Plan, Resource

SERVICE = "gcp:cloudrunv2/service:Service"
JOB = "gcp:cloudrunv2/job:Job"
# Where the provider's names are not Google's.
NAMES = {"envs": "env", "traffics": "traffic"}
# What the provider does by itself.
OWN = ("name", "location", "deletionProtection")

# Settings that are changed together: each plan takes a second or two.
OTHER_JOBS = (
    ("jobs.partitions.memory_mb", "1024"),
    ("jobs.partitions.schedule", "0 4 * * 1-5"),
    ("jobs.partitions.timeout_seconds", "900"),
)
OTHER_SERVICE = (
    ("customer_managed_keys", "true"),
    ("service.armor.ban_seconds", "60"),
    ("service.armor.requests_per_minute", "120"),
    ("service.concurrency", "40"),
    ("service.cors_origins", '["https://app.example.com"]'),
    ("service.domain", "api.other.example"),
    (
        "service.token_issuers",
        '[{"issuer": "https://securetoken.google.com/p", "audience": "p", "scopes": ["utxoiq:read"]}]',
    ),
)


def only(plan: Plan, type_: str, name: str | None = None) -> Resource:
    """The one resource of a type, or of a type and a name."""
    (found,) = [one for one in plan.of_type(type_) if name in (None, one.name)]
    return found


def container_of(resource: Resource) -> dict[str, Any]:
    """The container of the service or of a job; a change of it changes the plan."""
    template = resource.inputs["template"]
    (container,) = (template if resource.type == SERVICE else template["template"])["containers"]
    return container


def programs(plan: Plan) -> dict[str, Resource]:
    """The service and the jobs, by the command that each runs."""
    return {container_of(one)["args"][0]: one for one in (*plan.of_type(SERVICE), *plan.of_type(JOB))}


def changed(plan: Plan) -> Plan:
    """A copy that may be changed."""
    return copy.deepcopy(plan)


def before(plan: Plan, resource: Resource) -> set[str]:
    """The URNs of all that a resource waits for, however far back."""
    known = {one.urn: one for one in plan.resources}
    found: set[str] = set()
    waiting = [resource.urn]
    while waiting:
        one = known[waiting.pop()]
        waits = {*one.depends_on, *(urn for urns in one.property_dependencies.values() for urn in urns)}
        waiting += [urn for urn in waits - found if urn in known]
        found |= waits
    return found


def body_of(resource: Resource, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A service or a job as it is sent to Cloud Run.

    Args:
        resource: of the plan.
        environment: what its container is told instead.
    """
    sent = copy.deepcopy(resource)
    container = container_of(sent)
    if environment is not None:
        container["envs"] = [{"name": name, "value": value} for name, value in environment.items()]
    if "ports" in container:
        container["ports"] = [container["ports"]]
    body = _renamed({name: value for name, value in sent.inputs.items() if name not in OWN})
    assert isinstance(body, dict)
    return body


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {NAMES.get(name, name): _renamed(one) for name, one in value.items()}
    return [_renamed(one) for one in value] if isinstance(value, list) else value
