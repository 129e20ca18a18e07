"""`holdfast connect` goes where the infrastructure lets it in, and opens what the procedures' target names."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from infra import tunnel
from runbooks.connect.way import Way, way_into
from runbooks.engine.target import Connector
from runbooks.plan.model import Plan
from tests.contract.plans import ROOT, STACKS, planned

INSTANCE = "gcp:compute/instance:Instance"
DATABASE = "gcp:sql/databaseInstance:DatabaseInstance"
SECRET = "gcp:secretmanager/secret:Secret"
FIREWALL = "gcp:compute/firewall:Firewall"
TUNNEL = "gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember"
LOGIN = "gcp:compute/instanceIAMMember:InstanceIAMMember"
IAP = "35.235.240.0/20"
# What gcloud and ssh take where nobody says otherwise.
SSH = "22"


OTHER_ADDRESS = (
    "the target's connection is {'ip_type': 'psc', 'through': 'socks5://127.0.0.1:5434', 'via': 'connector'}, "
    "and the tunnel's socks5://127.0.0.1:5434, private"
)


def differences(plan: Plan, way: Way, command: tuple[str, ...]) -> list[str]:
    """What the command and the plan do not agree on."""
    name, zone, project = command[3], *(word.partition("=")[2] for word in command[5:7])
    machines = [one.inputs for one in plan.of_type(INSTANCE) if one.inputs["name"] == name]
    if not machines:
        return [f"there is no machine {name}"]
    (machine,) = machines
    found = []
    if zone != machine["zone"]:
        found.append(f"{name} is in {machine['zone']}, and not in {zone}")
    (owner,) = {one.inputs["project"] for one in plan.of_type("pulumi:providers:gcp")}
    if project != owner:
        found.append(f"the machine is in {owner}, and not in {project}")
    if not any(_lets_in(rule.inputs, machine["tags"]) for rule in plan.of_type(FIREWALL)):
        found.append(f"no rule lets IAP in at {SSH}")
    for kind, field in ((TUNNEL, "instance"), (LOGIN, "instanceName")):
        found += [
            f"{one.name} is on {one.inputs[field]} in {one.inputs['zone']}"
            for one in plan.of_type(kind)
            if (one.inputs[field], one.inputs["zone"]) != (name, zone)
        ]
    opened = f"socks5://{command[command.index('-D') + 1]}"
    connection = plan.outputs()["target"]["connection"]
    if (opened, way.ip_type) != (connection.get("through"), connection.get("ip_type")):
        found.append(f"the target's connection is {connection}, and the tunnel's {opened}, {way.ip_type}")
    if not any(one.inputs.get("name", one.name).startswith(way.primary) for one in plan.of_type(DATABASE)):
        found.append(f"no instance is named {way.primary}")
    if way.secret not in {one.inputs["secretId"] for one in plan.of_type(SECRET)}:
        found.append(f"there is no secret {way.secret}")
    return found


def _lets_in(rule: dict[str, Any], tags: list[str]) -> bool:
    ports = [one for allowed in rule.get("allows", []) for one in allowed["ports"]]
    return rule.get("sourceRanges") == [IAP] and set(rule.get("targetTags", [])) <= set(tags) and SSH in ports


def way(stack: str = "prod") -> Way:
    return way_into(stack, ROOT)


def command(stack: str = "prod") -> tuple[str, ...]:
    return way(stack).command("gcloud", tunnel.SOCKS_PORT)


def plan() -> Plan:
    # Copied: what follows breaks it.
    return Plan.model_validate(copy.deepcopy(planned("prod", resolve=True).model_dump(by_alias=True)))


@pytest.mark.parametrize("stack", STACKS)
def test_the_command_and_the_plan_agree(stack: str) -> None:
    assert differences(planned(stack, resolve=True), way(stack), command(stack)) == []


def test_the_target_says_what_the_command_opens() -> None:
    connection = Connector.model_validate(plan().outputs()["target"]["connection"])
    assert connection.through == "socks5://127.0.0.1:5434"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ((("name", "other"),), "there is no machine holdfast-bastion"),
        ((("access.bastion_zone", "c"),), "holdfast-bastion is in us-central1-c, and not in us-central1-b"),
        ((("project", "elsewhere"),), "the machine is in elsewhere, and not in holdfast-prod"),
        (
            (("database.connectivity", "PRIVATE_SERVICE_CONNECT"),),
            OTHER_ADDRESS,
        ),
    ],
)
def test_a_change_of_the_infrastructure_is_found(changes: tuple[tuple[str, str], ...], line: str) -> None:
    assert differences(planned("prod", resolve=True, changes=changes), way(), command())[0] == line


def no_rule(broken: Plan) -> None:
    for rule in broken.of_type(FIREWALL):
        for allowed in rule.inputs.get("allows", []):
            allowed["ports"] = ["5432"]


def another_port(broken: Plan) -> None:
    broken.outputs()["target"]["connection"]["through"] = "socks5://127.0.0.1:1080"


def another_name(kind: str, field: str) -> Callable[[Plan], None]:
    def change(broken: Plan) -> None:
        for one in broken.of_type(kind):
            one.inputs[field] = "other"

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_rule, "no rule lets IAP in at 22"),
        (another_port, "1080"),
        (another_name(TUNNEL, "instance"), "is on other in us-central1-b"),
        (another_name(LOGIN, "zone"), "is on holdfast-bastion in other"),
        (another_name(DATABASE, "name"), "no instance is named holdfast-database"),
        (another_name(SECRET, "secretId"), "there is no secret holdfast-operator-password"),
    ],
)
def test_a_plan_that_says_otherwise_is_found(change: Callable[[Plan], None], says: str) -> None:
    broken = plan()
    change(broken)
    [line] = differences(broken, way(), command())
    assert says in line


def test_another_port_of_the_command_is_found() -> None:
    [line] = differences(plan(), way(), way().command("gcloud", 1080))
    assert line.endswith("and the tunnel's socks5://127.0.0.1:1080, private")
