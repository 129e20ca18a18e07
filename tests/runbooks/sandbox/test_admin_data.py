"""Each method on real data, looked at before and after. The discovery client drives; so does plain HTTP."""

import contextlib
import datetime as dt
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httplib2
import psycopg2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, PLAIN, PLUS, Admin, code, now, reason, sandbox
from tests.waiting import wait_until


@contextmanager
def discovery_client(url: str, version: str) -> Iterator[Any]:
    """Google's own client with its own document, which leads to the sandbox."""
    spec = find_spec("googleapiclient")
    assert spec
    assert spec.origin
    path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"sqladmin.{version}.json"
    document = json.loads(path.read_text()) | {"rootUrl": f"{url}/", "baseUrl": f"{url}/"}
    # Credentials are in the HTTP object, so that none are looked for.
    client = build_from_document(document, http=TokenHttp())
    try:
        yield client
    finally:
        client.close()


class TokenHttp(httplib2.Http):
    """HTTP with a fixed token."""

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **others: Any) -> Any:
        assert uri.startswith("http://127.0.0.1:")
        return super().request(uri, method, body, {**(headers or {}), "authorization": "Bearer any"}, **others)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    with sandbox(tmp_path_factory.mktemp("data") / "state") as admin:
        yield admin


@pytest.fixture(scope="module")
def one(admin: Admin) -> str:
    """An instance with a table of marks."""
    admin.insert("one", rootPassword=PASSWORD)
    admin.sql("one", MARKS)
    return "one"


def ended(client: Any, request: Any) -> dict[str, Any]:
    """The operation of a request, which ends well."""
    operation = request.execute()

    def end() -> Any:
        seen = client.operations().get(project="p-1", operation=operation["name"]).execute()
        return seen if seen["status"] == "DONE" else None

    found = wait_until(end, seconds=120)
    assert "error" not in found
    return found


def test_googles_client_of_the_older_version_is_answered_alike(admin: Admin, one: str) -> None:
    with discovery_client(admin.url, "v1beta4") as client:
        body = {"name": "from-v1beta4", "password": PASSWORD}
        ended(client, client.users().insert(project="p-1", instance=one, body=body))
        assert admin.sql(one, "SELECT 1", user="from-v1beta4") == [(1,)]
        assert client.instances().get(project="p-1", instance=one).execute()["name"] == one
        assert client.backupRuns().list(project="p-1", instance=one).execute()["items"]
        ended(client, client.instances().restart(project="p-1", instance=one))
        ended(client, client.users().delete(project="p-1", instance=one, name="from-v1beta4"))


def test_googles_client_recovers_the_right_rows_to_a_moment(admin: Admin) -> None:
    with discovery_client(admin.url, "v1") as client:
        name, copy = "g", "g-copy"

        def done(request: Any) -> dict[str, Any]:
            return ended(client, request)

        body = {"name": name, "databaseVersion": "POSTGRES_18", "rootPassword": PASSWORD, "settings": ENTERPRISE}
        done(client.instances().insert(project="p-1", body=body))
        admin.sql(name, MARKS)
        admin.mark(name, "before the backup")
        backup = done(client.backupRuns().insert(project="p-1", instance=name, body={"description": "ours"}))
        run = client.backupRuns().list(project="p-1", instance=name).execute()["items"][0]
        assert (run["id"], run["status"], run["description"]) == (
            backup["backupContext"]["backupId"],
            "SUCCESSFUL",
            "ours",
        )
        moment = admin.mark(name, "before the moment")
        admin.mark(name, "after the moment")
        context = {"destinationInstanceName": copy, "pointInTime": moment}
        done(client.instances().clone(project="p-1", instance=name, body={"cloneContext": context}))
        assert admin.marks(copy) == {"before the backup", "before the moment"}
        assert admin.marks(name) == {"before the backup", "before the moment", "after the moment"}
        with pytest.raises(HttpError) as refused:
            client.instances().get(project="p-1", instance="missing").execute()
        assert refused.value.resp.status == 403
        for each in (name, copy):
            done(client.instances().delete(project="p-1", instance=each))
        listed = client.instances().list(project="p-1").execute()
        assert not {name, copy} & {each["name"] for each in listed["items"]}


def test_the_first_backup_follows_its_instance_and_hinders_nobody(admin: Admin) -> None:
    body = {"name": "new", "databaseVersion": "POSTGRES_18", "rootPassword": PASSWORD, "settings": ENTERPRISE}
    admin.well(admin.http.post("instances", json=body))
    assert admin.get("new")["state"] == "RUNNABLE"
    user = admin.http.post("instances/new/users", json={"name": "u", "password": PASSWORD})
    admin.well(user)
    create_user, backup, create = admin.http.get("operations", params={"instance": "new"}).json()["items"]
    assert [one["operationType"] for one in (create_user, backup, create)] == ["CREATE_USER", "BACKUP_VOLUME", "CREATE"]
    assert "error" not in backup
    assert create["endTime"] <= backup["startTime"] <= backup["endTime"] <= create_user["startTime"]
    [run] = admin.http.get("instances/new/backupRuns").json()["items"]
    assert (run["id"], run["type"], run["status"]) == (backup["backupContext"]["backupId"], "AUTOMATED", "SUCCESSFUL")
    admin.well(admin.clone("new", "copy", pointInTime=now()))
    # At once: the deletion is not refused, nor is the backup of what is deleted torn.
    admin.well(admin.http.delete("instances/copy"))
    backup = admin.http.get("operations", params={"instance": "copy"}).json()["items"][1]
    assert backup["operationType"] == "BACKUP_VOLUME"
    assert "error" not in backup
    admin.well(admin.http.delete("instances/new"))


def test_users_and_databases_are_real(admin: Admin, one: str) -> None:
    admin.well(admin.http.post(f"instances/{one}/databases", json={"name": 'd"b %'}))
    assert {each["name"] for each in admin.http.get(f"instances/{one}/databases").json()["items"]} == {
        "postgres",
        'd"b %',
    }
    assert admin.sql(one, "SELECT 1 FROM pg_database WHERE datname = 'd\"b %'") == [(1,)]
    admin.well(admin.http.post(f"instances/{one}/users", json={"name": 'u"1 %', "password": PASSWORD}))
    assert admin.sql(one, "SELECT current_user", user='u"1 %') == [('u"1 %',)]
    again = admin.http.post(f"instances/{one}/users", json={"name": 'u"1 %', "password": "x"})
    assert reason(again) == (409, "invalidState")
    query = {"name": 'u"1 %'}
    admin.well(admin.http.put(f"instances/{one}/users", params=query, json={"password": "new"}))
    with pytest.raises(psycopg2.OperationalError):
        admin.sql(one, "SELECT 1", user='u"1 %')
    assert admin.sql(one, "SELECT 1", user='u"1 %', password="new") == [(1,)]
    admin.sql(one, "CREATE TABLE kept ()", user='u"1 %', password="new")
    assert code(admin.done(admin.http.delete(f"instances/{one}/users", params=query))) == "ERROR_RDBMS"
    admin.sql(one, "DROP TABLE kept", user='u"1 %', password="new")
    admin.well(admin.http.delete(f"instances/{one}/users", params=query))
    with pytest.raises(psycopg2.OperationalError):
        admin.sql(one, "SELECT 1", user='u"1 %', password="new")
    admin.well(admin.http.delete(f'instances/{one}/databases/d"b %25'))
    assert [each["name"] for each in admin.http.get(f"instances/{one}/databases").json()["items"]] == ["postgres"]


def test_iam_users_are_roles_without_a_password_of_their_own(admin: Admin, one: str) -> None:
    account = {"name": "api@p-1.iam", "type": "CLOUD_IAM_SERVICE_ACCOUNT"}
    full = account | {"name": "api@p-1.iam.gserviceaccount.com"}
    assert reason(admin.http.post(f"instances/{one}/users", json=full)) == (400, "INVALID_REQUEST")
    admin.well(admin.http.post(f"instances/{one}/users", json=account))
    user = admin.http.get(f"instances/{one}/users/api@p-1.iam").json()
    assert (user["type"], user["iamEmail"]) == ("CLOUD_IAM_SERVICE_ACCOUNT", "api@p-1.iam")
    password = {"password": "x"}
    refused = admin.http.put(f"instances/{one}/users?name=api@p-1.iam", json=password)
    assert reason(refused) == (400, "INVALID_OPERATION")
    grants = "SELECT pg_has_role('api@p-1.iam', 'cloudsqliamserviceaccount', 'member')"
    assert admin.sql(one, grants) == [(True,)]


def test_a_restore_in_place_overwrites_everything_and_drops_connections(admin: Admin, one: str) -> None:
    admin.mark(one, "kept")
    backup = admin.backup(one)
    admin.mark(one, "lost")
    place = next(each for each in admin.control.get("instances").json()["instances"] if each["instance"] == one)
    held = psycopg2.connect(
        host=place["host"], port=place["port"], user="postgres", password=PASSWORD, dbname="postgres"
    )
    context = {"restoreBackupContext": {"backupRunId": backup, "instanceId": one, "project": "p-1"}}
    admin.well(admin.http.post(f"instances/{one}/restoreBackup", json=context))
    with held.cursor() as cursor, pytest.raises(psycopg2.OperationalError):
        cursor.execute("SELECT 1")
    held.close()
    assert "kept" in admin.marks(one)
    assert "lost" not in admin.marks(one)
    assert admin.get(one)["state"] == "RUNNABLE"
    # And its log goes on from there.
    admin.wait_backed_up(one)
    moment = admin.mark(one, "after the restore")
    admin.mark(one, "too late")
    admin.well(admin.clone(one, "restored-copy", pointInTime=moment))
    assert {"kept", "after the restore"} <= admin.marks("restored-copy")
    assert not {"lost", "too late"} & admin.marks("restored-copy")
    # Over another instance, whose data it takes the place of.
    context["restoreBackupContext"] |= {"backupRunId": backup}
    admin.well(admin.http.post("instances/restored-copy/restoreBackup", json=context))
    assert "after the restore" not in admin.marks("restored-copy")
    assert "kept" in admin.marks("restored-copy")
    admin.well(admin.http.delete("instances/restored-copy"))


def test_a_damaged_backup_restores_nothing_and_harms_nothing(admin: Admin, one: str) -> None:
    admin.fault("backupRuns.insert:corruptx1")
    backup = admin.backup(one)
    admin.mark(one, "unharmed")
    context = {"restoreBackupContext": {"backupRunId": backup}}
    failed = admin.done(admin.http.post(f"instances/{one}/restoreBackup", json=context))
    assert code(failed) == "ERROR_BACKUP_CORRUPTED"
    assert "unharmed" in admin.marks(one)
    admin.well(admin.http.delete(f"instances/{one}/backupRuns/{backup}"))
    assert reason(admin.http.get(f"instances/{one}/backupRuns/{backup}")) == (404, "backupRunDoesNotExist")


def test_accidents_of_network_and_archive(admin: Admin, one: str) -> None:
    def accident(**what: Any) -> None:
        assert admin.control.post(f"instances/p-1/{one}/accidents", json=what).status_code == 200

    accident(network="cut")
    try:
        with pytest.raises(psycopg2.OperationalError, match="timeout"):
            admin.sql(one, "SELECT 1", seconds=2)
    finally:
        accident(network="whole")
    assert admin.sql(one, "SELECT 1") == [(1,)]
    accident(latency=0.01)
    accident(latency=0)
    moment = admin.mark(one, "beyond the gap")
    accident(archive="gap")
    late = admin.mark(one, "far beyond the gap")
    assert code(admin.done(admin.clone(one, "gap", pointInTime=late))) == "ERROR_LOG_GAP"
    assert admin.get("gap")["state"] == "FAILED"
    admin.well(admin.http.delete("instances/gap"))
    # A new backup makes the gap harmless.
    admin.backup(one)
    assert moment < late < admin.mark(one, "after the gap")
    for wrong in ({}, {"network": "slow"}, {"fire": 1}, {"latency": "1"}):
        assert admin.control.post(f"instances/p-1/{one}/accidents", json=wrong).status_code == 400
    missing = admin.control.post("instances/p-1/missing/accidents", json={"network": "cut"})
    assert reason(missing) == (403, "notAuthorized")


def test_a_moment_outside_the_window_is_refused(admin: Admin, one: str) -> None:
    window = admin.http.get(f"instances/{one}/getLatestRecoveryTime").json()
    assert window["earliestRecoveryTime"] <= window["latestRecoveryTime"] <= now()
    for moment in ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00.123456789Z"):
        refused = admin.clone(one, "never", pointInTime=moment)
        assert reason(refused) == (400, "INVALID_REQUEST")
        assert "outside the recovery window" in refused.json()["error"]["message"]
    assert reason(admin.clone(one, "never", pointInTime="noon")) == (400, "badRequest")
    assert reason(admin.http.get("instances/never")) == (403, "notAuthorized")


def test_tier_and_flags_are_postgresqls_after_a_restart(admin: Admin, one: str) -> None:
    started = admin.sql(one, "SELECT pg_postmaster_start_time()")
    assert admin.sql(one, "SHOW max_connections") == [("25",)]
    version = admin.version(one)
    flags = [{"name": "work_mem", "value": "5MB"}, {"name": "cloudsql.iam_authentication", "value": "on"}]
    change = {"settings": {"tier": "db-custom-2-7680", "databaseFlags": flags}}
    admin.well(admin.http.patch(f"instances/{one}", json=change))
    assert admin.sql(one, "SHOW max_connections") == [("400",)]
    assert admin.sql(one, "SHOW work_mem") == [("5MB",)]
    assert admin.sql(one, "SELECT pg_postmaster_start_time()") > started
    assert int(admin.version(one)) == int(version) + 1
    bad = {"settings": {"databaseFlags": [{"name": "work_mem", "value": "lots"}]}}
    before = admin.get(one)
    assert code(admin.done(admin.http.patch(f"instances/{one}", json=bad))) == "INTERNAL_ERROR"
    assert admin.get(one) == before
    assert admin.sql(one, "SHOW work_mem") == [("5MB",)]
    stopped = {"settings": {"activationPolicy": "NEVER"}}
    admin.well(admin.http.patch(f"instances/{one}", json=stopped))
    assert admin.get(one)["state"] == "RUNNABLE"
    with pytest.raises(psycopg2.OperationalError):
        admin.sql(one, "SELECT 1")
    assert reason(admin.http.post(f"instances/{one}/backupRuns")) == (400, "INVALID_OPERATION")
    settings = admin.get(one)["settings"] | {"activationPolicy": "ALWAYS"}
    admin.well(admin.http.put(f"instances/{one}", json={"settings": settings}))
    assert admin.sql(one, "SELECT 1") == [(1,)]


def test_a_failover_keeps_the_address_and_everything_acknowledged(admin: Admin) -> None:
    admin.insert("ha", ENTERPRISE | {"availabilityType": "REGIONAL"}, rootPassword=PASSWORD)
    admin.sql("ha", MARKS)
    before = admin.get("ha")
    acknowledged: set[str] = set()
    ended = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            with contextlib.suppress(psycopg2.OperationalError):
                admin.sql("ha", f"INSERT INTO mark VALUES ('load {number}')")
                acknowledged.add(f"load {number}")

    for number in range(2):
        admin.mark("ha", f"before {number}")
        ended.clear()
        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_until(lambda: len(acknowledged) > 20)
            admin.well(admin.failover("ha"))
        finally:
            ended.set()
            writer.join()
        assert acknowledged <= admin.marks("ha")
        # Nor could anything have been lost: a commit waits for the standby.
        assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]
        acknowledged.clear()
        admin.sql("ha", "DELETE FROM mark WHERE word LIKE 'load %'")
        assert f"before {number}" in admin.marks("ha")
        admin.mark("ha", f"after {number}")
        after = admin.get("ha")
        assert after["ipAddresses"] == before["ipAddresses"]
        assert (after["gceZone"], after["secondaryGceZone"])[number % 2] == before["secondaryGceZone"]
    assert len(admin.marks("ha")) == 4
    # The log goes on through it.
    moment = admin.mark("ha", "last")
    admin.mark("ha", "too late")
    admin.well(admin.clone("ha", "ha-copy", pointInTime=moment))
    assert admin.marks("ha-copy") == admin.marks("ha") - {"too late"}
    zonal = {"settings": {"availabilityType": "ZONAL"}}
    admin.well(admin.http.patch("instances/ha", json=zonal))
    assert "secondaryGceZone" not in admin.get("ha")
    admin.mark("ha", "alone")
    for name in ("ha", "ha-copy"):
        admin.well(admin.http.delete(f"instances/{name}"))


def test_a_replica_follows_is_exchanged_and_promoted(admin: Admin) -> None:
    admin.insert("main", PLUS, rootPassword=PASSWORD)
    admin.sql("main", MARKS)
    admin.mark("main", "first")
    version = admin.version("main")
    replica = {"name": "rep", "region": "us-east1", "masterInstanceName": "main", "settings": PLUS}
    admin.well(admin.http.post("instances", json=replica))
    assert admin.get("rep")["masterInstanceName"] == "p-1:main"
    assert admin.get("main")["replicaNames"] == ["rep"]
    assert int(admin.version("main")) > int(version)
    admin.mark("main", "second")
    wait_until(lambda: admin.marks("rep") == {"first", "second"})
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        admin.mark("rep", "refused")
    assert reason(admin.http.delete("instances/main")) == (400, "INVALID_OPERATION")
    assert reason(admin.http.post("instances/rep/switchover")) == (400, "INVALID_OPERATION")
    admin.well(admin.http.patch("instances/main", json={"replicationCluster": {"failoverDrReplicaName": "rep"}}))
    assert admin.get("rep")["replicationCluster"] == {"drReplica": True}
    admin.well(admin.http.post("instances/rep/switchover"))
    assert (admin.get("rep")["instanceType"], admin.get("main")["instanceType"]) == (
        "CLOUD_SQL_INSTANCE",
        "READ_REPLICA_INSTANCE",
    )
    admin.mark("rep", "third")
    wait_until(lambda: admin.marks("main") == {"first", "second", "third"})
    admin.well(admin.http.post("instances/main/promoteReplica"))
    assert "replicaNames" not in admin.get("rep")
    admin.mark("main", "apart")
    assert "apart" not in admin.marks("rep")
    for name in ("main", "rep"):
        admin.well(admin.http.delete(f"instances/{name}"))


def test_a_deleted_instance_is_recovered_to_a_moment_and_from_its_final_backup(admin: Admin) -> None:
    admin.insert("doomed", ENTERPRISE | {"retainBackupsOnDelete": True}, rootPassword=PASSWORD)
    admin.sql("doomed", MARKS)
    moment = admin.mark("doomed", "early")
    admin.mark("doomed", "late")
    admin.well(admin.http.delete("instances/doomed?enableFinalBackup=true&finalBackupTtlDays=9"))
    [final] = [each for each in admin.http.get("backups").json()["backups"] if each["type"] == "FINAL"]
    assert final["instance"] == "doomed"
    assert dt.timedelta(days=8.9) < dt.datetime.fromisoformat(final["expiryTime"]) - dt.datetime.now(dt.UTC)
    assert admin.http.get(f"backups/{final['name'].rpartition('/')[2]}").json() == final
    deleted = final["instanceDeletionTime"]
    window = admin.http.get("instances/doomed/getLatestRecoveryTime", params={"sourceInstanceDeletionTime": deleted})
    assert window.json()["latestRecoveryTime"] >= moment
    admin.well(admin.clone("doomed", "undone", pointInTime=moment, sourceInstanceDeletionTime=deleted))
    assert admin.marks("undone") == {"early"}
    admin.well(admin.http.post("instances/undone/restoreBackup", json={"backup": final["name"]}))
    assert admin.marks("undone") == {"early", "late"}
    admin.well(admin.http.delete("instances/undone"))


def test_a_client_is_let_in_by_the_instances_certificates_and_rules(admin: Admin, one: str, tmp_path: Path) -> None:
    settings = admin.http.get(f"instances/{one}/connectSettings").json()
    assert settings["serverCaCert"] == admin.get(one)["serverCaCert"]
    root = tmp_path / "ca.pem"
    root.write_text(settings["serverCaCert"]["cert"])
    address = {"host": settings["ipAddresses"][0]["ipAddress"], "port": 5432, "user": "postgres", "dbname": "postgres"}
    place = next(each for each in admin.control.get("instances").json()["instances"] if each["instance"] == one)
    address["port"] = place["port"]

    def enter(**how: str) -> None:
        psycopg2.connect(**address, password=PASSWORD, sslrootcert=str(root), **how).close()

    enter(sslmode="disable")
    rule = {"settings": {"ipConfiguration": {"sslMode": "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"}}}
    admin.well(admin.http.patch(f"instances/{one}", json=rule))
    with pytest.raises(psycopg2.OperationalError):
        enter(sslmode="disable")
    with pytest.raises(psycopg2.OperationalError):
        enter(sslmode="verify-ca")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = tmp_path / "key.pem"
    own.touch(mode=0o600)
    own.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made = admin.http.post(f"instances/{one}:generateEphemeralCert", json={"public_key": public.decode()})
    certificate = tmp_path / "cert.pem"
    certificate.write_text(made.json()["ephemeralCert"]["cert"])
    enter(sslmode="verify-ca", sslcert=str(certificate), sslkey=str(own))
    refused = admin.http.post(f"instances/{one}:generateEphemeralCert", json={"public_key": "none"})
    assert reason(refused) == (400, "INVALID_REQUEST")
    rule["settings"]["ipConfiguration"]["sslMode"] = "ALLOW_UNENCRYPTED_AND_ENCRYPTED"
    admin.well(admin.http.patch(f"instances/{one}", json=rule))


def test_postgresql_16_is_16(admin: Admin) -> None:
    admin.insert("old", PLAIN, databaseVersion="POSTGRES_16", rootPassword=PASSWORD)
    assert admin.sql("old", "SHOW server_version_num")[0][0].startswith("16")
    admin.sql("old", MARKS)
    admin.mark("old", "x")
    admin.well(admin.clone("old", "old-copy"))
    assert admin.marks("old-copy") == {"x"}
    for name in ("old", "old-copy"):
        admin.well(admin.http.delete(f"instances/{name}"))
