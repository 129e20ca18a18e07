"""The instance that a backup is looked at in is as closed as the one that it was taken of."""

import pytest

from runbooks.sandbox.testing import sandbox
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import BackupRun, Instance
from runtime.verification import throwaway

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


def test_it_is_encrypted_by_the_sources_key_and_takes_connectors_alone() -> None:
    name = throwaway.new_name(SOURCE.name)
    with sandbox() as cloud, cloud.admin() as admin:
        # There is no such backup: it is left as it was made.
        with pytest.raises(CloudSqlError):
            throwaway.restore(admin, SOURCE, BackupRun(id=1), name, progress=lambda _: None)
        made = admin.instances.get(name)
    assert (made.encryption_key, made.requires_connector) == (KEY, True)
