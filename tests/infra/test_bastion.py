"""The bastion: how an operator reaches the database, and nobody else does."""

import re

import pytest
import yaml

from runbooks.plan.errors import PlanError
from runbooks.plan.model import Plan, Resource
from tests.contract.plans import planned

INSTANCE = "gcp:compute/instance:Instance"
PATH = "/etc/systemd/system/database-proxy.service"


def machine(plan: Plan) -> Resource:
    (found,) = plan.of_type(INSTANCE)
    return found


def unit(plan: Plan) -> str:
    """The service that the machine runs, as cloud-init would write it."""
    user_data = machine(plan).inputs["metadata"]["user-data"]
    assert user_data.startswith("#cloud-config\n")
    (file,) = yaml.safe_load(user_data)["write_files"]
    assert file["path"] == PATH
    return str(file["content"])


def test_without_the_setting_there_is_none() -> None:
    assert planned("dev").of_type(INSTANCE) == []


def test_it_is_closed_but_for_its_proxy() -> None:
    inputs = machine(planned("prod")).inputs
    assert [set(interface) for interface in inputs["networkInterfaces"]] == [{"subnetwork"}]
    assert (
        inputs["metadata"]
        | {
            "enable-oslogin": "TRUE",
            "block-project-ssh-keys": "TRUE",
            "serial-port-enable": "FALSE",
        }
        == inputs["metadata"]
    )
    assert set(inputs["shieldedInstanceConfig"].values()) == {True}


def test_its_proxy_is_of_one_version_and_leads_to_the_database_by_its_private_address() -> None:
    plan = planned("prod", resolve=True)
    (started,) = re.findall(r"^ExecStart=(.*)$", unit(plan), re.MULTILINE)
    _, _, (image, *arguments) = _split(started)
    assert re.fullmatch(r"gcr\.io/cloud-sql-connectors/cloud-sql-proxy:\d+\.\d+\.\d+", image)
    assert "--private-ip" in arguments
    (account,) = (one for one in plan.of_type("gcp:serviceaccount/account:Account") if "bastion" in one.name)
    assert machine(plan).inputs["serviceAccount"]["email"].startswith(f"{account.inputs['accountId']}@")
    project, region, instance = arguments[-1].split(":")
    assert (project, region) == ("holdfast-prod", "us-central1")
    assert instance.startswith("holdfast-database")
    # The proxy's own account is no login: each operator comes in as himself.
    assert not [argument for argument in arguments if "iam-authn" in argument]


def test_by_an_endpoint_the_proxy_is_told_so() -> None:
    changed = (("database.connectivity", "PRIVATE_SERVICE_CONNECT"),)
    assert " --psc " in unit(planned("prod", resolve=True, changes=changed))


def test_another_version_is_another_machine_of_the_same_name() -> None:
    resource = machine(planned("prod"))
    assert (resource.replace_on_changes, resource.delete_before_replace) == (["metadata"], True)
    assert not resource.protect


def test_its_zone_is_a_setting() -> None:
    assert machine(planned("prod", changes=(("access.bastion_zone", "f"),))).inputs["zone"] == "us-central1-f"
    with pytest.raises(
        PlanError, match=r"access\.bastion_zone: 'us-central1-f' is not of the right form; write it as b"
    ):
        planned("prod", changes=(("access.bastion_zone", "us-central1-f"),))


def _split(started: str) -> tuple[str, str, list[str]]:
    """What runs it, with which network, and the image with its arguments."""
    docker, network, rest = re.fullmatch(r"(.*) --network (\S+) (.*)", started).groups()  # type: ignore[union-attr]
    return docker, network, rest.split()
