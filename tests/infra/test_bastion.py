"""The bastion: how an operator reaches the database, and nobody else does."""

import pytest

from runbooks.plan.errors import PlanError
from runbooks.plan.model import Plan, Resource
from tests.contract.plans import STACKS, planned

INSTANCE = "gcp:compute/instance:Instance"
LOGIN = "gcp:compute/instanceIAMMember:InstanceIAMMember"
TUNNEL = "gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember"
WITHOUT = (("access.bastion", "false"),)


def machine(plan: Plan) -> Resource:
    (found,) = plan.of_type(INSTANCE)
    return found


def test_without_the_setting_there_is_none() -> None:
    plan = planned("dev", changes=WITHOUT)
    assert [*plan.of_type(INSTANCE), *plan.of_type(LOGIN), *plan.of_type(TUNNEL)] == []


@pytest.mark.parametrize("stack", STACKS)
def test_it_is_closed_but_for_ssh_as_oneself(stack: str) -> None:
    inputs = machine(planned(stack)).inputs
    assert [set(interface) for interface in inputs["networkInterfaces"]] == [{"subnetwork"}]
    assert inputs["metadata"] == {
        "enable-oslogin": "TRUE",
        "block-project-ssh-keys": "TRUE",
        "serial-port-enable": "FALSE",
    }
    assert set(inputs["shieldedInstanceConfig"].values()) == {True}


@pytest.mark.parametrize("stack", STACKS)
def test_there_is_no_token_on_it_for_who_comes_in(stack: str) -> None:
    assert "serviceAccount" not in machine(planned(stack)).inputs


@pytest.mark.parametrize("stack", STACKS)
def test_each_operator_may_open_a_tunnel_to_it_and_log_in_and_is_not_root(stack: str) -> None:
    plan = planned(stack, changes=(("access.operators", '["group:oncall@example.com", "user:a@example.com"]'),))
    for kind, role in ((LOGIN, "roles/compute.osLogin"), (TUNNEL, "roles/iap.tunnelResourceAccessor")):
        given = [(one.inputs["member"], one.inputs["role"]) for one in plan.of_type(kind)]
        assert sorted(given) == [("group:oncall@example.com", role), ("user:a@example.com", role)]


def test_another_image_is_another_machine_of_the_same_name_and_its_grants_go_with_it() -> None:
    plan = planned("prod")
    resource = machine(plan)
    assert resource.delete_before_replace
    assert not resource.protect
    for kind, field in ((LOGIN, "instanceName"), (TUNNEL, "instance")):
        assert all(one.property_dependencies[field] == [resource.urn] for one in plan.of_type(kind))


def test_its_zone_is_a_setting() -> None:
    assert machine(planned("prod", changes=(("access.bastion_zone", "f"),))).inputs["zone"] == "us-central1-f"
    with pytest.raises(
        PlanError, match=r"access\.bastion_zone: 'us-central1-f' is not of the right form; write it as b"
    ):
        planned("prod", changes=(("access.bastion_zone", "us-central1-f"),))
