"""What the real API refuses, refused alike; and a refused call changes nothing."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.runbooks.sandbox.admin import ENTERPRISE, PASSWORD, PLAIN, PLUS, Admin, code, reason, sandbox


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("refusals") / "state") as admin:
        admin.insert("one", PLAIN, rootPassword=PASSWORD)
        yield admin


@pytest.fixture
def unchanged(admin: Admin) -> Iterator[None]:
    """The refused calls of a test change nothing, and no operation exists."""
    before = admin.get("one"), admin.http.get("operations").json()
    yield
    assert (admin.get("one"), admin.http.get("operations").json()) == before


@pytest.mark.usefixtures("unchanged")
def test_a_missing_instance_looks_like_one_without_rights(admin: Admin) -> None:
    for path in ("", "/backupRuns", "/users", "/databases", "/getLatestRecoveryTime", "/connectSettings"):
        assert reason(admin.http.get(f"instances/missing{path}")) == (403, "notAuthorized")
    assert reason(admin.http.delete("instances/missing")) == (403, "notAuthorized")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"settings": PLAIN | {"edition": "ENTERPRISE_PLUS"}}, "Invalid Tier (db-f1-micro) for (ENTERPRISE_PLUS)"),
        ({"settings": {"tier": "db-custom-1-3840"}}, "Invalid Tier (db-custom-1-3840) for (ENTERPRISE_PLUS)"),
        ({"settings": PLUS | {"edition": "ENTERPRISE"}}, "Invalid Tier"),
        ({"settings": PLAIN | {"dataCacheConfig": {"dataCacheEnabled": True}}}, "Data cache"),
        ({"settings": PLAIN | {"connectionPoolConfig": {"connectionPoolingEnabled": True}}}, "connection pooling"),
        ({"settings": PLAIN | {"availabilityType": "REGIONAL"}}, "High availability"),
        ({"settings": PLAIN | {"backupConfiguration": {"pointInTimeRecoveryEnabled": True}}}, "Point in time"),
        ({"settings": ENTERPRISE | {"backupConfiguration": {"transactionLogRetentionDays": 8}}}, "from 1 to 7"),
        ({"settings": PLAIN | {"databaseFlags": [{"name": "no_such", "value": "1"}]}}, "no_such"),
        ({"settings": {"edition": "ENTERPRISE"}}, "settings.tier"),
        ({"databaseVersion": "MYSQL_8_0"}, "POSTGRES_18"),
        ({"name": "Upper"}, "Upper"),
        ({"name": "-"}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_be_made_is_refused(admin: Admin, wrong: dict, words: str) -> None:
    answer = admin.http.post("instances", json={"name": "two", "settings": PLAIN} | wrong)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert [one["name"] for one in admin.http.get("instances").json()["items"]] == ["one"]


@pytest.mark.usefixtures("unchanged")
def test_settings_are_changed_only_by_who_has_read_them(admin: Admin) -> None:
    stale = PLAIN | {"settingsVersion": "77"}
    assert reason(admin.http.put("instances/one", json={"settings": stale})) == (412, "staleData")
    assert reason(admin.http.patch("instances/one", json={"settings": stale})) == (412, "staleData")
    assert reason(admin.http.put("instances/one", json={"settings": PLAIN})) == (400, "INVALID_REQUEST")
    context = {"failoverContext": {"settingsVersion": "77"}}
    assert reason(admin.http.post("instances/one/failover", json=context)) == (412, "staleData")


@pytest.mark.usefixtures("unchanged")
def test_what_the_instance_is_not_set_up_for_is_refused(admin: Admin) -> None:
    refused = (400, "INVALID_OPERATION")
    assert reason(admin.failover("one")) == refused
    assert reason(admin.http.post("instances/one/promoteReplica")) == refused
    assert reason(admin.http.post("instances/one/switchover")) == refused
    assert reason(admin.clone("one", "two", pointInTime="2026-01-01T00:00:00Z")) == refused
    assert reason(admin.http.get("instances/one/getLatestRecoveryTime")) == refused
    replica = {"name": "two", "masterInstanceName": "one", "settings": PLAIN}
    assert reason(admin.http.post("instances", json=replica)) == refused
    assert reason(admin.clone("one", "two", databaseNames=["d"])) == (501, "notImplemented")
    assert reason(admin.clone("one", "one")) == (409, "instanceAlreadyExists")


@pytest.mark.usefixtures("unchanged")
def test_what_is_not_there_is_named(admin: Admin) -> None:
    context = {"restoreBackupContext": {"backupRunId": "7"}}
    assert reason(admin.http.post("instances/one/restoreBackup", json=context)) == (400, "ERROR_BACKUP_NOT_FOUND")
    assert reason(admin.http.get("instances/one/backupRuns/7")) == (404, "backupRunDoesNotExist")
    assert reason(admin.http.get("instances/one/databases/x")) == (404, "databaseDoesNotExist")
    assert reason(admin.http.delete("instances/one/users?name=x")) == (404, "userDoesNotExist")
    assert reason(admin.http.get("operations/x")) == (404, "operationDoesNotExist")
    assert reason(admin.http.get("nothing")) == (404, "methodDoesNotExist")


def test_one_operation_at_a_time_and_no_operation_for_what_is_refused(admin: Admin) -> None:
    admin.fault("users.insert:slow=30x1")
    slow = admin.http.post("instances/one/users", json={"name": "u", "password": "x"}).json()
    assert slow["status"] in ("PENDING", "RUNNING")
    known = len(admin.http.get("operations").json()["items"])
    for answer in (
        admin.http.post("instances/one/backupRuns"),
        admin.http.post("instances/one/restart"),
        admin.clone("one", "two"),
        admin.http.delete("instances/one"),
    ):
        assert reason(answer) == (409, "operationInProgress")
    assert len(admin.http.get("operations").json()["items"]) == known
    assert admin.http.post(f"operations/{slow['name']}/cancel").json() == {}
    assert code(admin.done(admin.http.get(f"operations/{slow['name']}"))) == "OPERATION_CANCELLED"
    assert reason(admin.http.get("instances/one/users/u")) == (404, "userDoesNotExist")
    assert reason(admin.http.post(f"operations/{slow['name']}/cancel")) == (409, "invalidState")
    assert reason(admin.http.get("instances/two")) == (403, "notAuthorized")


def test_of_two_at_once_one_is_refused(admin: Admin) -> None:
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(admin.http.post("instances/one/restart"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun = [answer for answer in answers if answer.status_code == 200]
    assert len(begun) >= 1
    assert {reason(answer) for answer in answers if answer not in begun} <= {(409, "operationInProgress")}
    for answer in begun:
        admin.well(answer)
    times = sorted((one["startTime"], one["endTime"]) for one in admin.http.get("operations").json()["items"])
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_what_is_protected_stays_and_a_deleted_name_is_not_free(admin: Admin) -> None:
    admin.insert("gone", PLAIN | {"deletionProtectionEnabled": True})
    answer = admin.http.delete("instances/gone")
    assert reason(answer) == (400, "INVALID_OPERATION")
    assert "deletionProtectionEnabled" in answer.json()["error"]["message"]
    admin.well(admin.http.patch("instances/gone", json={"settings": {"deletionProtectionEnabled": False}}))
    admin.well(admin.http.delete("instances/gone"))
    assert reason(admin.http.get("instances/gone")) == (403, "notAuthorized")
    again = admin.http.post("instances", json={"name": "gone", "settings": PLAIN})
    assert reason(again) == (409, "instanceAlreadyExists")
