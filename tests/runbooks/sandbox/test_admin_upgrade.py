"""A newer major version in place, with the rows; what cannot be upgraded goes on as it was."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, Admin, code, reason, sandbox

HIGHLY_AVAILABLE = ENTERPRISE | {"availabilityType": "REGIONAL"}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("upgrade") / "state") as admin:
        admin.insert("old", HIGHLY_AVAILABLE, databaseVersion="POSTGRES_16", rootPassword=PASSWORD)
        admin.sql("old", MARKS)
        admin.mark("old", "before")
        yield admin


def version(admin: Admin) -> str:
    return admin.sql("old", "SHOW server_version_num")[0][0][:2]


def precheck(admin: Admin) -> dict[str, Any]:
    context = {"preCheckMajorVersionUpgradeContext": {"targetDatabaseVersion": "POSTGRES_18"}}
    done = admin.well(admin.http.post("instances/old/preCheckMajorVersionUpgrade", json=context))
    [response] = done["preCheckMajorVersionUpgradeContext"]["preCheckResponse"]
    return response


def backups(admin: Admin) -> list[tuple[str, str, str]]:
    runs = admin.http.get("instances/old/backupRuns").json()["items"]
    return [(run["databaseVersion"], run["status"], run["description"]) for run in reversed(runs)]


def test_what_is_refused_changes_nothing(admin: Admin) -> None:
    before = admin.get("old")
    assert [each["name"] for each in before["upgradableDatabaseVersions"]] == ["POSTGRES_18"]
    for wrong in ("POSTGRES_17", "POSTGRES_9_6", "MYSQL_8_4"):
        assert reason(admin.http.patch("instances/old", json={"databaseVersion": wrong})) == (400, "INVALID_REQUEST")
    mixed = {"databaseVersion": "POSTGRES_18", "settings": {"tier": "db-g1-small"}}
    assert reason(admin.http.patch("instances/old", json=mixed)) == (400, "INVALID_REQUEST")
    assert admin.get("old") == before


def test_what_the_newer_version_cannot_take_goes_on_as_it_was(admin: Admin) -> None:
    admin.sql("old", "CREATE TABLE cannot (what regproc)")
    found = precheck(admin)
    assert found["messageType"] == "ERROR"
    assert "public.cannot.what" in found["message"]
    before = admin.get("old")
    failed = admin.done(admin.http.patch("instances/old", json={"databaseVersion": "POSTGRES_18"}))
    assert code(failed) == "ERROR_RDBMS"
    assert "public.cannot.what" in failed["error"]["errors"][0]["message"]
    assert admin.get("old") == before
    assert (version(admin), admin.marks("old")) == ("16", {"before"})
    admin.mark("old", "after what failed")
    assert admin.marks("old") == {"before", "after what failed"}
    admin.sql("old", "DROP TABLE cannot")


def test_an_instance_is_upgraded_in_place_with_its_rows(admin: Admin) -> None:
    known, address = len(backups(admin)), admin.get("old")["ipAddresses"]
    rows = admin.marks("old")
    earlier = admin.sql("old", "SELECT to_json(now()) #>> '{}'")[0][0]
    done = admin.well(admin.http.patch("instances/old", json={"databaseVersion": "POSTGRES_18"}))
    assert done["operationType"] == "MAJOR_VERSION_UPGRADE"
    now = admin.get("old")
    assert (now["databaseVersion"], now["state"], now["ipAddresses"]) == ("POSTGRES_18", "RUNNABLE", address)
    assert "upgradableDatabaseVersions" not in now
    assert (version(admin), admin.marks("old")) == ("18", rows)
    assert backups(admin)[known:] == [
        ("POSTGRES_16", "SUCCESSFUL", "Pre-upgrade backup, POSTGRES_16 to POSTGRES_18."),
        ("POSTGRES_18", "SUCCESSFUL", "Post-upgrade backup, POSTGRES_16 to POSTGRES_18."),
    ]
    refused = admin.clone("old", "copy", pointInTime=earlier)
    assert "outside the recovery window" in refused.json()["error"]["message"]
    # All goes on from there: recovery to a moment, and failover.
    moment = admin.mark("old", "upgraded")
    admin.mark("old", "later")
    admin.well(admin.clone("old", "copy", pointInTime=moment))
    assert admin.marks("copy") == rows | {"upgraded"}
    admin.well(admin.failover("old"))
    assert (version(admin), admin.marks("old")) == ("18", rows | {"upgraded", "later"})
    again = admin.http.patch("instances/old", json={"databaseVersion": "POSTGRES_16"})
    assert reason(again) == (400, "INVALID_REQUEST")
