"""Replication stopped and started, kept backups, filters, flags, certificates and upgrades, on real data."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from runbooks.sandbox.sql import rules
from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, PLAIN, Admin, now, reason, sandbox
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("more") / "state") as admin:
        yield admin


@pytest.fixture(scope="module")
def one(admin: Admin) -> str:
    """An instance with a table of marks."""
    admin.insert("one", ENTERPRISE | {"userLabels": {"env": "a b", "team": "on-call"}}, rootPassword=PASSWORD)
    admin.sql("one", MARKS)
    admin.mark("one", "first")
    return "one"


def test_a_database_is_what_it_is(admin: Admin, one: str) -> None:
    same = {"name": "postgres", "charset": "UTF8", "collation": "en_US.UTF8"}
    for verb, body in (("PATCH", {"charset": "UTF8"}), ("PUT", same)):
        answer = admin.http.request(verb, f"instances/{one}/databases/postgres", json=body)
        assert admin.well(answer)["operationType"] == "UPDATE_DATABASE"
    before = admin.http.get(f"instances/{one}/databases").json()
    for wrong in ({"charset": "LATIN1"}, {"collation": "de_DE.UTF8"}, {"name": "other"}):
        answer = admin.http.patch(f"instances/{one}/databases/postgres", json=wrong)
        assert reason(answer) == (400, "INVALID_REQUEST")
        assert next(iter(wrong)) in answer.json()["error"]["message"]
    assert reason(admin.http.patch(f"instances/{one}/databases/none", json={})) == (404, "databaseDoesNotExist")
    assert admin.http.get(f"instances/{one}/databases").json() == before


def test_replication_stops_and_goes_on(admin: Admin, one: str) -> None:
    replica = {"name": "rep", "masterInstanceName": one, "settings": ENTERPRISE}
    admin.well(admin.http.post("instances", json=replica))
    assert admin.get("rep")["settings"]["databaseReplicationEnabled"] is True
    admin.mark(one, "while it follows")
    wait_until(lambda: "while it follows" in admin.marks("rep"))

    stopped = admin.well(admin.http.post("instances/rep/stopReplica"))
    assert stopped["operationType"] == "STOP_REPLICA"
    assert admin.get("rep")["settings"]["databaseReplicationEnabled"] is False
    admin.mark(one, "while it stands")
    # All of it is sent and in the archive: a replica that followed would have it.
    admin.sql(one, "CHECKPOINT")
    admin.well(admin.http.post("instances/rep/restart"))
    assert admin.sql(one, "SELECT count(*) FROM pg_stat_replication") == [(0,)]
    assert "while it stands" not in admin.marks("rep")
    assert admin.sql("rep", "SELECT pg_is_in_recovery()") == [(True,)]

    started = admin.well(admin.http.post("instances/rep/startReplica"))
    assert started["operationType"] == "START_REPLICA"
    wait_until(lambda: "while it stands" in admin.marks("rep"))

    # As gcloud does it.
    admin.well(admin.http.patch("instances/rep", json={"settings": {"databaseReplicationEnabled": False}}))
    admin.mark(one, "not for the promoted")
    admin.well(admin.http.post("instances/rep/promoteReplica"))
    assert "not for the promoted" not in admin.marks("rep")
    assert "databaseReplicationEnabled" not in admin.get("rep")["settings"]
    admin.mark("rep", "of its own")
    admin.well(admin.http.delete("instances/rep"))

    assert reason(admin.http.post(f"instances/{one}/stopReplica")) == (400, "INVALID_OPERATION")
    wrong = {"settings": {"databaseReplicationEnabled": False}}
    assert reason(admin.http.patch(f"instances/{one}", json=wrong)) == (400, "INVALID_REQUEST")


def test_a_backup_of_the_project_is_made_restored_and_expires(admin: Admin, one: str) -> None:
    before = admin.marks(one)
    body = {"instance": one, "description": "ours", "ttlDays": "3", "location": "eu"}
    made = admin.well(admin.http.post("backups", json=body))["backupContext"]["name"].rpartition("/")[2]
    seen = admin.http.get(f"backups/{made}").json()
    assert (seen["type"], seen["state"], seen["description"], seen["location"]) == (
        "ON_DEMAND",
        "SUCCESSFUL",
        "ours",
        "eu",
    )
    assert seen["expiryTime"] > now()
    admin.mark(one, "after the backup")
    admin.well(admin.http.post(f"instances/{one}/restoreBackup", json={"backup": seen["name"]}))
    assert admin.marks(one) == before
    every = admin.http.get("instances/-/backupRuns").json()["items"]
    assert every[0]["id"] > every[-1]["id"]
    assert made.partition("-")[0] in [run["id"] for run in every]
    # Only final backups are changed.
    update = admin.http.patch(f"backups/{made}?updateMask=description", json={"description": "x"})
    assert reason(update) == (400, "INVALID_REQUEST")
    admin.well(admin.http.delete(f"backups/{made}"))
    assert reason(admin.http.get(f"backups/{made}")) == (404, "backupDoesNotExist")
    assert reason(admin.http.delete(f"backups/{made}")) == (404, "backupDoesNotExist")
    gone = admin.http.post(f"instances/{one}/restoreBackup", json={"backup": seen["name"]})
    assert reason(gone) == (400, "ERROR_BACKUP_NOT_FOUND")
    for wrong in ({"ttlDays": "366"}, {"expiryTime": "2020-01-01T00:00:00Z"}, {"instance": ""}):
        assert reason(admin.http.post("backups", json=body | {"ttlDays": None} | wrong)) == (400, "INVALID_REQUEST")


def test_a_final_backup_is_kept_for_as_long_as_it_is_told(admin: Admin) -> None:
    admin.insert("last", PLAIN | {"retainBackupsOnDelete": True}, rootPassword=PASSWORD)
    kept = admin.backup("last")
    wrong = admin.http.delete("instances/last?enableFinalBackup=true&finalBackupTtlDays=400")
    assert reason(wrong) == (400, "INVALID_REQUEST")
    expires = (dt.datetime.now(dt.UTC) + dt.timedelta(days=9)).isoformat().replace("+00:00", "Z")
    query = {"enableFinalBackup": "true", "finalBackupExpiryTime": expires}
    admin.well(admin.http.delete("instances/last", params=query))

    def found(text: str) -> list[dict[str, Any]]:
        return admin.http.get("backups", params={"filter": text}).json().get("backups", [])

    [final] = found("type:FINAL instance:last")
    assert final["expiryTime"] == expires
    name = final["name"].rpartition("/")[2]
    [other] = found("instance:last AND type:ON_DEMAND")
    assert other["name"].rpartition("/")[2].partition("-")[0] == kept
    assert "expiryTime" not in other
    assert found(f"instance:last backupInterval.startTime>={now()}") == []
    assert found('instance="last" backupInterval.startTime>=2020-01-01T00:00:00Z') == [final, other]
    changed = admin.well(
        admin.http.patch(f"backups/{name}?updateMask=description,ttl_days", json={"description": "d", "ttlDays": "300"})
    )
    assert changed["operationType"] == "UPDATE_BACKUP"
    after = admin.http.get(f"backups/{name}").json()
    assert after["description"] == "d"
    assert after["expiryTime"] > final["expiryTime"]
    wrong = admin.http.patch(f"backups/{name}?updateMask=instance", json={"instance": "x"})
    assert reason(wrong) == (400, "INVALID_REQUEST")
    end = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)).isoformat()
    admin.well(admin.http.patch(f"backups/{name}?updateMask=expiryTime", json={"expiryTime": end}))
    wait_until(lambda: admin.http.get(f"backups/{name}").status_code == 404)
    assert found("instance:last") == [other]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("state:RUNNABLE instanceType:CLOUD_SQL_INSTANCE", True),
        ("state=RUNNABLE AND settings.tier=db-f1-micro", True),
        ("state:FAILED", False),
        ("state:FAILED OR name:one", True),
        ("name:one AND state:FAILED OR state:MAINTENANCE", False),
        ('settings.userLabels.env:"a b" settings.userLabels.team=on-call', True),
        ("settings.userLabels.env:*", True),
        ("settings.userLabels.none:*", False),
        ("settings.backupConfiguration.enabled:true", True),
        ("settings.dataDiskSizeGb>9", True),
        ("settings.dataDiskSizeGb>=11", False),
        ("region!=us-central1", False),
        ("ipAddresses.type:PRIMARY", True),
        ("createTime<2020-01-01T00:00:00Z", False),
    ],
)
def test_instances_are_filtered(admin: Admin, one: str, text: str, is_found: bool) -> None:  # noqa: FBT001  # pytest passes it
    found = admin.http.get("instances", params={"filter": f"name:{one} {text}"}).json()["items"]
    assert [each["name"] for each in found] == [one] * is_found


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize(
    "text", ["state", "state:", "(state:X)", "state:X AND", "OR state:X", "nothing:1", "-state:X", ":1"]
)
def test_a_filter_that_cannot_be_read_is_refused(admin: Admin, text: str) -> None:
    assert reason(admin.http.get("instances", params={"filter": text})) == (400, "INVALID_REQUEST")


def test_flags_are_those_that_postgresql_has(admin: Admin, one: str) -> None:
    url = f"{admin.url}/v1/flags"
    listed = admin.http.get(url, params={"databaseVersion": "POSTGRES_18"}).json()["items"]
    by_name = {each["name"]: each for each in listed}
    wanted = admin.sql(
        one,
        "SELECT name, vartype, min_val, max_val, enumvals, context FROM pg_settings"
        " WHERE name IN ('max_connections', 'wal_level', 'log_statement', 'work_mem', 'autovacuum', 'seq_page_cost')",
    )
    assert len(wanted) == 6
    types = {"integer": "INTEGER", "enum": "STRING", "bool": "BOOLEAN", "real": "FLOAT"}
    for name, kind, least, most, values, context in wanted:
        flag = by_name[name]
        assert flag["type"] == types[kind]
        assert flag["requiresRestart"] is (context == "postmaster")
        assert flag["appliesTo"] == ["POSTGRES_18"]
        if kind == "integer":
            assert (flag["minValue"], flag["maxValue"]) == (least, most)
        assert flag.get("allowedStringValues") == values
    every = admin.http.get(url).json()["items"]
    assert {"POSTGRES_16"} in [set(each["appliesTo"]) for each in every]
    assert {"POSTGRES_16", "POSTGRES_18"} in [
        set(each["appliesTo"]) for each in every if each["name"] == "log_statement"
    ]
    assert reason(admin.http.get(url, params={"databaseVersion": "POSTGRES_15"})) == (400, "INVALID_REQUEST")
    assert admin.http.get(url, params={"flagScope": "SQL_FLAG_SCOPE_CONNECTION_POOL"}).json()["items"] == []


def test_every_tier_of_the_list_can_be_had(admin: Admin) -> None:
    items = admin.http.get("tiers").json()["items"]
    memory = {each["tier"]: int(each["RAM"]) for each in items}
    assert memory["db-custom-1-3840"] == 3840 * 1024**2
    for tier in memory:
        rules.check({"tier": tier, "edition": "ENTERPRISE_PLUS" if "perf" in tier else "ENTERPRISE"})


def test_an_instance_is_found_by_its_name_for_name_servers(admin: Admin, one: str) -> None:
    known = admin.http.get(f"instances/{one}/connectSettings").json()
    found = admin.http.get(f"{admin.url}/v1/locations/us-central1/dns/{known['dnsName']}:resolveConnectSettings")
    assert found.json() == known
    wrong = admin.http.get(f"{admin.url}/v1/locations/us-east1/dns/{known['dnsName']}:resolveConnectSettings")
    assert reason(wrong) == (403, "notAuthorized")
