"""Each call of the Admin API: what is sent, by Google's own description, and what comes back."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from runtime.cloudsql.client import CloudSqlAdmin
from runtime.cloudsql.errors import InvalidRequestError, UnexpectedAnswerError
from tests.conftest import PASSWORD
from tests.runtime.cloudsql.scripted import AdminApi, Answer

NOON = dt.datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=2)))
ORDERS = "/v1/projects/shop/instances/orders"
LOGIN = 'o\'brien "q" /é%41@example.com'
SECRET = SecretStr(PASSWORD)
OPERATION = {
    "kind": "sql#operation",
    "name": "op-1",
    "status": "PENDING",
    "operationType": "CREATE",
    "targetId": "orders",
    "insertTime": "2026-11-20T10:00:00.123Z",
}
INSTANCE = {
    "kind": "sql#instance",
    "name": "orders",
    "state": "RUNNABLE",
    "databaseVersion": "POSTGRES_18",
    "region": "us-central1",
    "connectionName": "shop:us-central1:orders",
    "instanceType": "CLOUD_SQL_INSTANCE",
    "createTime": "2026-11-20T10:00:00.123456789Z",
    "ipAddresses": [{"type": "PRIVATE", "ipAddress": "10.0.0.5"}],
    "replicaNames": ["orders-dr"],
    "settings": {
        "settingsVersion": "9223372036854775807",
        "tier": "db-custom-2-8192",
        "edition": "ENTERPRISE",
        "availabilityType": "REGIONAL",
        "activationPolicy": "ALWAYS",
        "deletionProtectionEnabled": True,
        "databaseFlags": [{"name": "work_mem", "value": "4096"}],
        "backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True, "transactionLogRetentionDays": 7},
        "dataDiskSizeGb": "10",
        "userLabels": {"purpose": "shop"},
    },
}
BACKUP = {
    "kind": "sql#backupRun",
    "id": "1763632800000",
    "instance": "orders",
    "status": "SUCCESSFUL",
    "type": "ON_DEMAND",
    "startTime": "2026-11-20T10:00:00Z",
    "endTime": "2026-11-20T10:01:00Z",
}

# What is called: the method and path that it must be, its query and its body.
CHANGES: dict[str, tuple[Callable[[CloudSqlAdmin], Any], str, str, dict[str, str], Any]] = {
    "insert": (
        lambda sql: sql.instances.insert(
            "orders",
            database_version="POSTGRES_18",
            region="us-central1",
            tier="db-custom-2-8192",
            edition="ENTERPRISE",
            availability="REGIONAL",
            flags={"work_mem": "4096"},
            settings={"userLabels": {"purpose": "verification"}},
            primary="other",
            root_password=SECRET,
        ),
        "POST",
        "/v1/projects/shop/instances",
        {},
        {
            "name": "orders",
            "databaseVersion": "POSTGRES_18",
            "region": "us-central1",
            "masterInstanceName": "other",
            "rootPassword": PASSWORD,
            "settings": {
                "tier": "db-custom-2-8192",
                "edition": "ENTERPRISE",
                "availabilityType": "REGIONAL",
                "databaseFlags": [{"name": "work_mem", "value": "4096"}],
                "deletionProtectionEnabled": True,
                "userLabels": {"purpose": "verification"},
            },
        },
    ),
    "patch": (
        lambda sql: sql.instances.patch("orders", tier="db-custom-4-16384", deletion_protection=False, flags={}),
        "PATCH",
        ORDERS,
        {},
        {"settings": {"tier": "db-custom-4-16384", "deletionProtectionEnabled": False, "databaseFlags": []}},
    ),
    "patch of a version": (
        lambda sql: sql.instances.patch("orders", activation="NEVER", settings_version=7),
        "PATCH",
        ORDERS,
        {},
        {"settings": {"activationPolicy": "NEVER", "settingsVersion": "7"}},
    ),
    "delete": (
        lambda sql: sql.instances.delete("orders", final_backup=True, final_backup_days=30),
        "DELETE",
        ORDERS,
        {"enableFinalBackup": "true", "finalBackupTtlDays": "30"},
        None,
    ),
    "delete for good": (
        lambda sql: sql.instances.delete("orders", final_backup=False),
        "DELETE",
        ORDERS,
        {"enableFinalBackup": "false"},
        None,
    ),
    "restart": (lambda sql: sql.instances.restart("orders"), "POST", f"{ORDERS}/restart", {}, None),
    "failover of a version": (
        lambda sql: sql.instances.failover("orders", settings_version=7),
        "POST",
        f"{ORDERS}/failover",
        {},
        {"failoverContext": {"settingsVersion": "7"}},
    ),
    "promote": (lambda sql: sql.instances.promote_replica("orders"), "POST", f"{ORDERS}/promoteReplica", {}, None),
    "promote DR": (
        lambda sql: sql.instances.promote_replica("orders", failover=True),
        "POST",
        f"{ORDERS}/promoteReplica",
        {"failover": "true"},
        None,
    ),
    "switchover": (
        lambda sql: sql.instances.switchover("orders", timeout=dt.timedelta(days=1)),
        "POST",
        f"{ORDERS}/switchover",
        {"dbTimeout": "86400s"},
        None,
    ),
    "clone": (
        lambda sql: sql.instances.clone("orders", "copy"),
        "POST",
        f"{ORDERS}/clone",
        {},
        {"cloneContext": {"destinationInstanceName": "copy"}},
    ),
    "clone of a deleted one at a moment": (
        lambda sql: sql.instances.clone("orders", "copy", point_in_time=NOON, deletion_time=NOON, zone="us-central1-b"),
        "POST",
        f"{ORDERS}/clone",
        {},
        {
            "cloneContext": {
                "destinationInstanceName": "copy",
                "pointInTime": "2026-11-20T10:00:00.123456Z",
                "sourceInstanceDeletionTime": "2026-11-20T10:00:00.123456Z",
                "preferredZone": "us-central1-b",
            }
        },
    ),
    "restore in place": (
        lambda sql: sql.instances.restore_backup("orders", backup_run=2**53 + 1),
        "POST",
        f"{ORDERS}/restoreBackup",
        {},
        {"restoreBackupContext": {"backupRunId": "9007199254740993", "instanceId": "orders", "project": "shop"}},
    ),
    "restore from another": (
        lambda sql: sql.instances.restore_backup("orders", backup_run=5, source="prod", source_project="other"),
        "POST",
        f"{ORDERS}/restoreBackup",
        {},
        {"restoreBackupContext": {"backupRunId": "5", "instanceId": "prod", "project": "other"}},
    ),
    "back up": (
        lambda sql: sql.backup_runs.insert("orders", description="before the change"),
        "POST",
        f"{ORDERS}/backupRuns",
        {},
        {"description": "before the change"},
    ),
    "delete a backup": (
        lambda sql: sql.backup_runs.delete("orders", 1763632800000),
        "DELETE",
        f"{ORDERS}/backupRuns/1763632800000",
        {},
        None,
    ),
    "make a user": (
        lambda sql: sql.users.insert("orders", LOGIN, password=SECRET),
        "POST",
        f"{ORDERS}/users",
        {},
        {"name": LOGIN, "type": "BUILT_IN", "password": PASSWORD},
    ),
    "make an IAM user": (
        lambda sql: sql.users.insert("orders", "api@shop.iam", kind="CLOUD_IAM_SERVICE_ACCOUNT"),
        "POST",
        f"{ORDERS}/users",
        {},
        {"name": "api@shop.iam", "type": "CLOUD_IAM_SERVICE_ACCOUNT"},
    ),
    "change a password": (
        lambda sql: sql.users.update("orders", LOGIN, password=SECRET),
        "PUT",
        f"{ORDERS}/users",
        {"name": LOGIN},
        {"name": LOGIN, "password": PASSWORD},
    ),
    "delete a user": (
        lambda sql: sql.users.delete("orders", LOGIN),
        "DELETE",
        f"{ORDERS}/users",
        {"name": LOGIN},
        None,
    ),
    "make a database": (
        lambda sql: sql.databases.insert("orders", "app", collation="C"),
        "POST",
        f"{ORDERS}/databases",
        {},
        {"name": "app", "charset": "UTF8", "collation": "C"},
    ),
    "change a database": (
        lambda sql: sql.databases.update("orders", "app", collation="C"),
        "PUT",
        f"{ORDERS}/databases/app",
        {},
        {"name": "app", "collation": "C"},
    ),
    "delete a database": (
        lambda sql: sql.databases.delete("orders", "a/b é?"),
        "DELETE",
        f"{ORDERS}/databases/a%2Fb%20%C3%A9%3F",
        {},
        None,
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_sent_as_google_describes_it_and_answers_with_its_operation(
    name: str, api: AdminApi, client: CloudSqlAdmin
) -> None:
    call, method, path, query, body = CHANGES[name]
    api.says(Answer(OPERATION))
    operation = call(client)
    (asked,) = api.asked
    assert (asked.method, asked.path, asked.query, asked.body) == (method, path, query, body)
    assert (operation.name, operation.is_done) == ("op-1", False)
    assert operation.insert_time == dt.datetime(2026, 11, 20, 10, 0, 0, 123000, tzinfo=dt.UTC)


def test_an_instance_is_read_with_its_numbers_and_moments(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(Answer(INSTANCE))
    found = client.instances.get("orders")
    assert (api.asked[0].method, api.asked[0].path) == ("GET", ORDERS)
    assert (found.state, found.region, found.replica_names) == ("RUNNABLE", "us-central1", ("orders-dr",))
    assert found.settings.settings_version == 2**63 - 1
    assert (found.settings.data_disk_size_gb, found.settings.deletion_protection_enabled) == (10, True)
    assert found.settings.backup_configuration.transaction_log_retention_days == 7
    assert found.settings.database_flags[0].value == "4096"
    assert found.ip_addresses[0].ip_address == "10.0.0.5"
    assert found.create_time == dt.datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=dt.UTC)
    # What has no field of its own is not lost.
    assert found.settings.model_extra == {"userLabels": {"purpose": "shop"}}


def test_lists_are_read_to_their_last_page(api: AdminApi, client: CloudSqlAdmin) -> None:
    other = {**INSTANCE, "name": "other"}
    api.says(
        Answer({"kind": "sql#instancesList", "items": [INSTANCE], "nextPageToken": "a/b+c="}),
        Answer({"nextPageToken": "third"}),
        Answer({"items": [other]}),
    )
    found = client.instances.list(matching="settings.userLabels.purpose:shop")
    assert [one.name for one in found] == ["orders", "other"]
    assert [one.query.get("pageToken") for one in api.asked] == [None, "a/b+c=", "third"]
    assert {one.query["filter"] for one in api.asked} == {"settings.userLabels.purpose:shop"}


def test_a_limit_ends_a_list_early(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(Answer({"items": [BACKUP, {**BACKUP, "id": "1"}], "nextPageToken": "more"}))
    (newest,) = client.backup_runs.list("orders", limit=1)
    assert api.asked[0].query == {"maxResults": "1"}
    assert newest.id == 1763632800000
    assert newest.end_time is not None
    assert newest.start_time is not None
    assert newest.end_time - newest.start_time == dt.timedelta(minutes=1)


def test_a_list_that_never_ends_is_an_error(
    api: AdminApi, client: CloudSqlAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.cloudsql.transport.MOST_PAGES", 3)
    api.says(*[Answer({"items": [], "nextPageToken": "again"})] * 3)
    with pytest.raises(UnexpectedAnswerError, match=r"project shop.*pages"):
        client.instances.list()


def test_the_other_reads(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(
        Answer(BACKUP),
        Answer({"items": [{"name": "postgres", "host": "", "instance": "orders"}]}),
        Answer({"items": [{"name": "app", "charset": "UTF8", "collation": "en_US.UTF8"}]}),
        Answer({"items": [OPERATION]}),
        Answer({}),
        Answer(OPERATION),
        Answer({}),
    )
    assert client.backup_runs.get("orders", 5).status == "SUCCESSFUL"
    assert [(one.name, one.type) for one in client.users.list("orders")] == [("postgres", "BUILT_IN")]
    assert client.databases.list("orders")[0].collation == "en_US.UTF8"
    assert client.operations.list("orders", limit=5)[0].target_id == "orders"
    assert client.operations.list(limit=None) == []
    assert client.operations.get("op-1").operation_type == "CREATE"
    client.operations.cancel("op-1")
    project = "/v1/projects/shop"
    assert [(one.method, one.path, one.query) for one in api.asked] == [
        ("GET", f"{ORDERS}/backupRuns/5", {}),
        ("GET", f"{ORDERS}/users", {}),
        ("GET", f"{ORDERS}/databases", {}),
        ("GET", f"{project}/operations", {"instance": "orders", "maxResults": "5"}),
        ("GET", f"{project}/operations", {}),
        ("GET", f"{project}/operations/op-1", {}),
        ("POST", f"{project}/operations/op-1/cancel", {}),
    ]


def test_the_recovery_window(api: AdminApi, client: CloudSqlAdmin) -> None:
    window = {"earliestRecoveryTime": "2026-11-13T10:00:00Z", "latestRecoveryTime": "2026-11-20T10:00:00.5Z"}
    api.says(Answer(window), Answer({}))
    found = client.instances.recovery_window("orders")
    assert found.latest_recovery_time == dt.datetime(2026, 11, 20, 10, 0, 0, 500000, tzinfo=dt.UTC)
    assert client.instances.recovery_window("orders", deletion_time=NOON).latest_recovery_time is None
    assert [one.query for one in api.asked] == [{}, {"sourceInstanceDeletionTime": "2026-11-20T10:00:00.123456Z"}]


def test_a_moment_without_a_time_zone_is_refused_and_nothing_sent(api: AdminApi, client: CloudSqlAdmin) -> None:
    with pytest.raises(InvalidRequestError, match=r"point_in_time.*time zone"):
        client.instances.clone("orders", "copy", point_in_time=NOON.replace(tzinfo=None))
    assert api.asked == []


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path_is_refused_and_nothing_sent(
    name: str, api: AdminApi, client: CloudSqlAdmin
) -> None:
    with pytest.raises(InvalidRequestError, match="not a name"):
        client.databases.delete("orders", name)
    assert api.asked == []
