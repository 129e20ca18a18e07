"""Accidents of an instance, and what Cloud SQL does about them unasked."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, Admin, code, reason, sandbox
from tests.waiting import wait_until

HA = ENTERPRISE | {"availabilityType": "REGIONAL"}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("sandbox") / "state") as admin:
        for name, settings in (("ha", HA), ("zonal", ENTERPRISE)):
            admin.insert(name, settings, rootPassword=PASSWORD)
            admin.sql(name, MARKS)
        replica = {"name": "rep", "masterInstanceName": "zonal", "settings": ENTERPRISE}
        admin.well(admin.http.post("instances", json=replica))
        yield admin


def accident(admin: Admin, name: str, **what: Any) -> None:
    answer = admin.control.post(f"instances/p-1/{name}/accidents", json=what)
    assert answer.status_code == 200, answer.text


def operations(admin: Admin, name: str, kind: str) -> list[dict[str, Any]]:
    found = admin.http.get("operations", params={"instance": name}).json()["items"]
    return [one for one in found if one["operationType"] == kind]


@contextmanager
def healed(admin: Admin, name: str, kind: str) -> Iterator[None]:
    """What is done here makes the service begin an operation, which ends well."""
    before = len(operations(admin, name, kind))
    yield

    def end() -> dict[str, Any] | None:
        found = operations(admin, name, kind)
        return found[0] if len(found) > before and found[0]["status"] == "DONE" else None

    operation = wait_until(end)
    assert "error" not in operation, operation
    assert operation["user"] == "service@holdfast.invalid"
    assert admin.get(name)["state"] == "RUNNABLE"


@contextmanager
def writing(admin: Admin, name: str, words: str) -> Iterator[set[str]]:
    """Writes as many words as it can, all the while; what was acknowledged is in the set."""
    acknowledged: set[str] = set()
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            with contextlib.suppress(psycopg2.OperationalError):
                admin.sql(name, f"INSERT INTO mark VALUES ('{words} {number}')")
                acknowledged.add(f"{words} {number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(acknowledged) > 5)
        yield acknowledged
    finally:
        ended.set()
        writer.join()


def test_a_regional_instance_fails_over_by_itself(admin: Admin) -> None:
    before = admin.get("ha")
    with writing(admin, "ha", "kill") as acknowledged:
        with healed(admin, "ha", "FAILOVER"):
            accident(admin, "ha", primary="kill")
        known = len(acknowledged)
        wait_until(lambda: len(acknowledged) > known)
    assert acknowledged <= admin.marks("ha")
    after = admin.get("ha")
    assert (after["gceZone"], after["secondaryGceZone"]) == (before["secondaryGceZone"], before["gceZone"])
    assert after["ipAddresses"] == before["ipAddresses"]
    assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]


def test_a_standby_that_died_is_made_again_and_holds_up_no_commit(admin: Admin) -> None:
    zone = admin.get("ha")["gceZone"]
    with writing(admin, "ha", "alone") as acknowledged:
        with healed(admin, "ha", "RECREATE_REPLICA"):
            accident(admin, "ha", standby="kill")
        known = len(acknowledged)
        wait_until(lambda: len(acknowledged) > known)
    assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]
    # The new one has everything too.
    with healed(admin, "ha", "FAILOVER"):
        accident(admin, "ha", primary="kill")
    assert acknowledged <= admin.marks("ha")
    assert admin.get("ha")["gceZone"] != zone


def test_without_its_standby_a_primary_is_started_again(admin: Admin) -> None:
    admin.mark("ha", "both")
    zone = admin.get("ha")["gceZone"]
    with healed(admin, "ha", "AUTO_RESTART"):
        accident(admin, "ha", standby="kill", primary="kill")
    assert "both" in admin.marks("ha")
    assert admin.get("ha")["gceZone"] == zone
    assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]


@pytest.mark.parametrize("name", ["zonal", "rep"])
def test_others_are_started_again(admin: Admin, name: str) -> None:
    with writing(admin, "zonal", name) as acknowledged, healed(admin, name, "AUTO_RESTART"):
        accident(admin, name, primary="kill")
    assert acknowledged <= admin.marks("zonal")
    admin.mark("zonal", f"after {name}")
    wait_until(lambda: admin.marks("rep") == admin.marks("zonal"))


def test_the_service_waits_for_the_operation_that_an_instance_has(admin: Admin) -> None:
    admin.fault("backupRuns.insert:slow=0.7")
    backup = admin.http.post("instances/ha/backupRuns")
    with healed(admin, "ha", "FAILOVER"):
        accident(admin, "ha", primary="kill")
        failed = admin.done(backup)
        admin.control.delete("faults")
    assert code(failed) == "INTERNAL_ERROR"
    assert operations(admin, "ha", "FAILOVER")[0]["insertTime"] >= failed["endTime"]


def test_a_replica_lags_by_as_much_as_it_is_told_and_loses_nothing_when_it_is_promoted(admin: Admin) -> None:
    admin.mark("zonal", "in time")
    wait_until(lambda: "in time" in admin.marks("rep"))
    accident(admin, "rep", lag=0.5)
    admin.mark("zonal", "late")
    wait_until(lambda: "late" in admin.marks("rep"))
    # It was not there before half a second had gone by.
    [(delay,)] = admin.sql("rep", "SELECT now() - pg_last_xact_replay_timestamp()")
    assert delay.total_seconds() >= 0.5
    accident(admin, "rep", lag=3600)
    admin.mark("zonal", "in an hour")
    [(received,)] = admin.sql("zonal", "SELECT pg_current_wal_lsn()")
    wait_until(lambda: admin.sql("rep", f"SELECT pg_last_wal_receive_lsn() >= '{received}'") == [(True,)])
    assert "in an hour" not in admin.marks("rep")
    accident(admin, "rep", lag=0)
    wait_until(lambda: "in an hour" in admin.marks("rep"))
    accident(admin, "rep", lag=3600)
    admin.mark("zonal", "last")
    [(received,)] = admin.sql("zonal", "SELECT pg_current_wal_lsn()")
    wait_until(lambda: admin.sql("rep", f"SELECT pg_last_wal_receive_lsn() >= '{received}'") == [(True,)])
    admin.well(admin.http.post("instances/rep/promoteReplica"))
    assert admin.marks("rep") == admin.marks("zonal")
    assert admin.sql("rep", "SHOW recovery_min_apply_delay") == [("0",)]


def test_a_disk_that_may_grow_grows_up_to_its_limit(admin: Admin) -> None:
    admin.well(admin.http.patch("instances/zonal", json={"settings": {"storageAutoResizeLimit": "17"}}))
    version = int(admin.version("zonal"))
    for size in ("15", "17"):
        accident(admin, "zonal", disk="full")
        assert admin.get("zonal")["settings"]["dataDiskSizeGb"] == size
        assert admin.get("zonal")["state"] == "RUNNABLE"
    assert int(admin.version("zonal")) == version + 2
    admin.mark("zonal", "grown")
    accident(admin, "zonal", disk="full")
    assert admin.get("zonal")["state"] == "SUSPENDED"
    admin.well(admin.http.patch("instances/zonal", json={"settings": {"dataDiskSizeGb": "22"}}))
    assert "grown" in admin.marks("zonal")


def test_an_instance_whose_disk_is_full_is_down_until_it_is_given_as_much_as_it_asks_for(admin: Admin) -> None:
    admin.well(admin.http.patch("instances/ha", json={"settings": {"storageAutoResize": False}}))
    with writing(admin, "ha", "full") as acknowledged:
        wait_until(lambda: admin.control.post("instances/p-1/ha/accidents", json={"disk": "full"}).status_code == 200)
    with pytest.raises(psycopg2.OperationalError, match="the database system is shut down"):
        admin.sql("ha", "SELECT 1")

    def report() -> tuple[str, list[str], dict[str, Any]]:
        shown = admin.get("ha")
        return shown["state"], shown["suspensionReason"], shown["outOfDiskReport"]

    def suspended(lacks: int) -> tuple[str, list[str], dict[str, Any]]:
        full = {"sqlOutOfDiskState": "SOFT_SHUTDOWN", "sqlMinRecommendedIncreaseSizeGb": lacks}
        return "SUSPENDED", ["OPERATIONAL_ISSUE"], full

    assert report() == suspended(5)
    assert reason(admin.http.post("instances/ha/restart")) == (400, "INVALID_OPERATION")
    assert reason(admin.failover("ha")) == (400, "INVALID_OPERATION")
    # What is in its archive can be recovered while it is down.
    window = admin.http.get("instances/ha/getLatestRecoveryTime").json()
    admin.well(admin.clone("ha", "rescued", pointInTime=window["latestRecoveryTime"]))
    assert admin.get("rescued")["state"] == "RUNNABLE"
    assert reason(admin.clone("ha", "never")) == (400, "INVALID_OPERATION")
    # Less than it asks for does not help, but counts.
    admin.well(admin.http.patch("instances/ha", json={"settings": {"dataDiskSizeGb": "12"}}))
    assert report() == suspended(3)
    with pytest.raises(psycopg2.OperationalError):
        admin.sql("ha", "SELECT 1")
    admin.well(admin.http.patch("instances/ha", json={"settings": {"dataDiskSizeGb": "15"}}))
    after = admin.get("ha")
    assert after["state"] == "RUNNABLE"
    assert not {"outOfDiskReport", "suspensionReason"} & set(after)
    assert acknowledged <= admin.marks("ha")
    assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("zonal", {}),
        ("zonal", {"standby": "kill"}),
        ("zonal", {"lag": 1}),
        ("ha", {"primary": "hurt"}),
        ("ha", {"lag": -1}),
        ("ha", {"latency": "much"}),
        ("ha", {"primary": "kill", "weather": "bad"}),
    ],
)
def test_an_accident_that_there_is_not_is_refused_and_nothing_happens(
    admin: Admin, name: str, what: dict[str, Any]
) -> None:
    answer = admin.control.post(f"instances/p-1/{name}/accidents", json=what)
    assert answer.status_code == 400
    assert admin.sql(name, "SELECT 1") == [(1,)]
    assert admin.control.post("instances/p-1/nobody/accidents", json={"primary": "kill"}).status_code == 403
