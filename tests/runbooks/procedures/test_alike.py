"""What procedures make is reached as the instance that it is made like."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runbooks.procedures import replicas, restore_backup
from runtime.cloudsql.models import Instance

ASKED = {"consumerNetwork": "projects/p/global/networks/n", "consumerProject": "p"}
# What Google says of it.
BECAME = {"ipAddress": "10.10.2.2", "status": "ACTIVE", "consumerNetworkStatus": "VALID"}
PSC = {"pscEnabled": True, "allowedConsumerProjects": ["p"], "pscAutoDnsEnabled": True}


def instance(addresses: Mapping[str, Any]) -> Instance:
    settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE", "ipConfiguration": addresses}
    return Instance.model_validate({"name": "holdfast", "settings": settings})


@pytest.mark.parametrize("alike", [replicas.copied, restore_backup.alike])
def test_it_asks_for_an_endpoint_of_its_own(alike: Callable[[Instance], Mapping[str, Any]]) -> None:
    source = instance({"ipv4Enabled": False, "pscConfig": {**PSC, "pscAutoConnections": [{**ASKED, **BECAME}]}})
    wanted = {"ipv4Enabled": False, "pscConfig": {**PSC, "pscAutoConnections": [ASKED]}}
    assert alike(source)["ipConfiguration"] == wanted


@pytest.mark.parametrize("alike", [replicas.copied, restore_backup.alike])
def test_it_has_a_private_address_in_the_same_network(alike: Callable[[Instance], Mapping[str, Any]]) -> None:
    addresses = {"ipv4Enabled": False, "privateNetwork": "projects/p/global/networks/n", "sslMode": "ENCRYPTED_ONLY"}
    assert alike(instance(addresses))["ipConfiguration"] == addresses
