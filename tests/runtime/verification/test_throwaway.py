"""The instance that a backup is looked at in is as closed as the one that it was taken of, and reached as that one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from runbooks.sandbox.testing import Sandbox, sandbox
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import BackupRun, Instance
from runtime.verification import throwaway
from runtime.verification.place import address_of

NETWORK = "projects/p/global/networks/n"
KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
SOURCE = Instance.model_validate(
    {
        "name": "holdfast",
        "databaseVersion": "POSTGRES_18",
        "region": "us-central1",
        "settings": {"tier": "db-f1-micro", "edition": "ENTERPRISE", "connectorEnforcement": "REQUIRED"},
        "diskEncryptionConfiguration": {"kind": "sql#diskEncryptionConfiguration", "kmsKeyName": KEY},
    }
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


def made_of(cloud: Sandbox, source: Instance) -> Instance:
    name = throwaway.new_name(source.name)
    with cloud.admin() as admin:
        # There is no such backup: it is left as it was made.
        with pytest.raises(CloudSqlError):
            throwaway.restore(admin, source, BackupRun(id=1), name, progress=lambda _: None)
        return admin.instances.get(name)


def test_it_is_encrypted_by_the_sources_key_and_takes_connectors_alone(cloud: Sandbox) -> None:
    made = made_of(cloud, SOURCE)
    assert (made.encryption_key, made.requires_connector) == (KEY, True)


def test_it_has_an_endpoint_where_the_source_has_one(cloud: Sandbox, tmp_path: Path) -> None:
    asked = {"consumerNetwork": NETWORK, "consumerProject": "p"}
    # As Google answers: with what has become of it.
    became = {"ipAddress": "10.10.2.2", "status": "ACTIVE", "consumerNetworkStatus": "VALID"}
    psc: dict[str, Any] = {"pscEnabled": True, "allowedConsumerProjects": ["p"], "pscAutoDnsEnabled": True}
    addresses = {"ipv4Enabled": False, "pscConfig": {**psc, "pscAutoConnections": [{**asked, **became}]}}
    settings = {"tier": "db-f1-micro", "edition": "ENTERPRISE", "ipConfiguration": addresses}
    made = made_of(cloud, Instance.model_validate({**SOURCE.model_dump(), "settings": settings}))
    has = (made.settings.model_extra or {})["ipConfiguration"]
    assert has["pscConfig"] == {**psc, "pscAutoConnections": [asked]}
    assert not made.requires_connector
    # It has no address of its own.
    url = address_of(made, make_url("postgresql://u@h/d"), tmp_path / "authority.pem")
    assert url.query["host"] == f"/cloudsql/{made.connection_name}"
