"""`holdfast connect` goes where the infrastructure lets it in."""

import copy
import re
from typing import Any

import pytest

from infra import tunnel
from runbooks.connect.way import way_into
from runbooks.engine.target import Proxy
from runbooks.plan.model import Plan
from tests.contract.plans import ROOT, planned

PORT = 5433
IAP = "35.235.240.0/20"


def differences(plan: Plan, command: tuple[str, ...]) -> list[str]:
    """What the command and the plan do not agree on."""
    name, port, local, zone, project = command[3:]
    machines = [one.inputs for one in plan.of_type("gcp:compute/instance:Instance") if one.inputs["name"] == name]
    if not machines:
        return [f"there is no machine {name}"]
    (machine,) = machines
    found = []
    if zone != f"--zone={machine['zone']}":
        found.append(f"{name} is in {machine['zone']}, and not in {zone}")
    if f"--port={port}" not in re.split(r"\s", machine["metadata"]["user-data"]):
        found.append(f"the proxy does not listen on {port}")
    if not any(_lets_in(rule.inputs, port, machine["tags"]) for rule in plan.of_type("gcp:compute/firewall:Firewall")):
        found.append(f"no rule lets IAP in at {port}")
    connection = plan.outputs()["target"]["connection"]
    if local != f"--local-host-port={connection.get('host')}:{connection.get('port')}":
        found.append(f"the target's connection is {connection}, and the tunnel's {local}")
    (owner,) = {one.inputs["project"] for one in plan.of_type("pulumi:providers:gcp")}
    if project != f"--project={owner}":
        found.append(f"the machine is in {owner}, and not in {project}")
    return found


def _lets_in(rule: dict[str, Any], port: str, tags: list[str]) -> bool:
    ports = [one for allowed in rule.get("allows", []) for one in allowed["ports"]]
    return rule.get("sourceRanges") == [IAP] and set(rule.get("targetTags", [])) <= set(tags) and port in ports


def command() -> tuple[str, ...]:
    return way_into("prod", ROOT).command("gcloud", tunnel.LOCAL_PORT)


def plan() -> Plan:
    # Copied: what follows breaks it.
    return Plan.model_validate(copy.deepcopy(planned("prod", resolve=True).model_dump(by_alias=True)))


def test_the_command_and_the_plan_agree() -> None:
    assert differences(plan(), command()) == []
    assert Proxy.model_validate(plan().outputs()["target"]["connection"]).port == tunnel.LOCAL_PORT == PORT


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ((("name", "other"),), "there is no machine holdfast-bastion"),
        ((("access.bastion_zone", "c"),), "holdfast-bastion is in us-central1-c, and not in --zone=us-central1-b"),
        ((("project", "elsewhere"),), "the machine is in elsewhere, and not in --project=holdfast-prod"),
    ],
)
def test_a_change_of_the_infrastructure_is_found(changes: tuple[tuple[str, str], ...], line: str) -> None:
    assert differences(planned("prod", resolve=True, changes=changes), command()) == [line]


def test_a_change_of_a_port_is_found() -> None:
    broken = plan()
    for rule in broken.of_type("gcp:compute/firewall:Firewall"):
        for allowed in rule.inputs.get("allows", []):
            allowed["ports"] = ["5439"]
    broken.outputs()["target"]["connection"]["port"] = 5439
    rule, target = differences(broken, command())
    assert rule == "no rule lets IAP in at 5432"
    assert "5439" in target
    assert target.endswith("and the tunnel's --local-host-port=127.0.0.1:5433")
    other = (*command()[:4], "5439", *command()[5:])
    assert differences(plan(), other) == ["the proxy does not listen on 5439", "no rule lets IAP in at 5439"]
