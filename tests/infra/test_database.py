"""The database: what guards it, what an edition brings, and who comes in."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import make_url

from infra import logins, urls
from runbooks.plan.difference import Action, differences
from runbooks.plan.model import Plan, Resource
from runtime.settings import MEMBER_ROLES, Settings
from tests.contract.plans import STACKS, planned

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
USER = "gcp:sql/user:User"
PLUS = (("database.edition", "ENTERPRISE_PLUS"),)
POLICY = "gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy"
PSC = (("database.connectivity", "PRIVATE_SERVICE_CONNECT"),)
OWN_KEYS = (("customer_managed_keys", "true"),)


def instances(plan: Plan) -> dict[str, Resource]:
    return {one.name.removeprefix("holdfast-"): one for one in plan.of_type(INSTANCE)}


def primary(stack: str, changes: Sequence[tuple[str, str]] = (), *, resolve: bool = False) -> Resource:
    return instances(planned(stack, resolve=resolve, changes=tuple(changes)))["database"]


def settings(stack: str, changes: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    found: dict[str, Any] = primary(stack, changes).inputs["settings"]
    return found


def test_production_is_guarded_three_ways_and_its_data_survives_the_program() -> None:
    plan = planned("prod")
    for one in instances(plan).values():
        assert one.protect
        assert one.inputs["deletionProtection"]
        assert one.inputs["settings"]["deletionProtectionEnabled"]
    (database,) = plan.of_type("gcp:sql/database:Database")
    assert (database.protect, database.inputs["deletionPolicy"]) == (True, "ABANDON")
    assert {one.inputs["deletionPolicy"] for one in plan.of_type(USER)} == {"ABANDON"}


def test_pulumi_waits_as_long_as_an_instance_may_take() -> None:
    for one in instances(planned("prod")).values():
        assert one.custom_timeouts == {"create": "90m", "update": "90m", "delete": "60m"}


def test_dev_can_be_deleted() -> None:
    found = primary("dev")
    assert not found.protect
    assert not found.inputs["deletionProtection"]
    assert not found.inputs["settings"]["deletionProtectionEnabled"]


@pytest.mark.parametrize("stack", STACKS)
def test_every_instance_is_private_takes_tls_alone_and_says_its_edition(stack: str) -> None:
    for one in instances(planned(stack)).values():
        has = one.inputs["settings"]
        assert has["edition"] == "ENTERPRISE"
        assert has["ipConfiguration"]["ipv4Enabled"] is False
        assert has["ipConfiguration"]["sslMode"] == "ENCRYPTED_ONLY"
        assert has["connectorEnforcement"] == "REQUIRED"
        assert has["dataApiAccess"] == "DISALLOW_DATA_API"
        assert has["insightsConfig"]["queryInsightsEnabled"]
        assert has["userLabels"] == {"application": "holdfast", "environment": stack}


def test_the_instance_has_a_name_of_pulumis_and_waits_for_the_peering() -> None:
    plan = planned("prod")
    found = instances(plan)["database"]
    assert "name" not in found.inputs
    (peering,) = plan.of_type("gcp:servicenetworking/connection:Connection")
    assert peering.urn in found.depends_on


def test_backups_are_where_the_sources_say() -> None:
    prod = settings("prod")
    assert prod["backupConfiguration"] == {
        "enabled": True,
        "location": "us-east1",
        "startTime": "01:00",
        "backupRetentionSettings": {"retainedBackups": 7, "retentionUnit": "COUNT"},
        "pointInTimeRecoveryEnabled": True,
        "transactionLogRetentionDays": 7,
    }
    assert prod["finalBackupConfig"] == {"enabled": True, "retentionDays": 30}
    assert prod["retainBackupsOnDelete"]
    dev = settings("dev")
    assert dev["backupConfiguration"]["backupRetentionSettings"]["retainedBackups"] == 7
    assert "transactionLogRetentionDays" not in dev["backupConfiguration"]
    # With days Google's answer would differ from the program for ever.
    assert dev["finalBackupConfig"] == {"enabled": False}


def test_the_disk_grows_and_is_never_planned_away() -> None:
    prod = settings("prod")
    assert (prod["diskSize"], prod["diskAutoresize"], prod["diskAutoresizeLimit"]) == (100, True, 1000)
    assert settings("dev")["diskSize"] == 10
    before = planned("prod").resources
    after = planned("prod", changes=(("database.first_disk_gb", "20"),)).resources
    assert differences(before, after) == []


def test_the_password_policy_says_no_complexity() -> None:
    assert settings("prod")["passwordValidationPolicy"] == {
        "enablePasswordPolicy": True,
        "minLength": 16,
        "reuseInterval": 5,
        "disallowUsernameSubstring": True,
    }


def test_maintenance_is_kept_away_when_it_is_said() -> None:
    assert settings("prod")["maintenanceWindow"] == {"day": 6, "hour": 6, "updateTrack": "stable"}
    assert "denyMaintenancePeriod" not in settings("prod")
    denied = settings("prod", [("database.maintenance", '{"denied": {"start": "11-20", "end": "12-31"}}')])
    assert denied["denyMaintenancePeriod"] == {"startDate": "11-20", "endDate": "12-31", "time": "00:00:00"}


def test_the_replica_is_in_the_other_region_and_leaves_to_the_primary_what_is_the_primarys() -> None:
    replica = instances(planned("prod", resolve=True, changes=OWN_KEYS))["database-dr"]
    assert replica.inputs["region"] == "us-east1"
    assert replica.inputs["masterInstanceName"] == "holdfast-database"
    assert replica.inputs["encryptionKeyName"].rpartition("/")[2] == "holdfast-key-database-dr"
    primarys = {"backupConfiguration", "finalBackupConfig", "passwordValidationPolicy", "maintenanceWindow", "diskSize"}
    assert not primarys & replica.inputs["settings"].keys()
    # A replica with fewer connections than its primary does not start.
    assert replica.inputs["settings"]["databaseFlags"] == settings("prod")["databaseFlags"]
    assert "database-dr" not in instances(planned("dev"))


def test_one_setting_brings_all_of_enterprise_plus() -> None:
    plan = planned("prod", resolve=True, changes=PLUS)
    found = instances(plan)
    for one in found.values():
        has = one.inputs["settings"]
        assert (has["edition"], has["tier"]) == ("ENTERPRISE_PLUS", "db-perf-optimized-N-2")
        assert has["dataCacheConfig"] == {"dataCacheEnabled": True}
        assert has["connectionPoolConfigs"] == [{"connectionPoolingEnabled": True}]
    named = found["database"].inputs["replicationCluster"]["failoverDrReplicaName"]
    assert named == found["database-dr"].inputs["name"]
    plain = settings("prod")
    assert not {"dataCacheConfig", "connectionPoolConfigs"} & plain.keys()
    assert "replicationCluster" not in primary("prod").inputs


def test_another_edition_replaces_nothing() -> None:
    found = differences(planned("prod").resources, planned("prod", changes=PLUS).resources)
    assert {one.name for one in found} >= {"holdfast-database", "holdfast-database-dr"}
    assert [one.name for one in found if one.action in {Action.REPLACE, Action.DELETE}] == []


def test_a_read_pool_has_its_nodes() -> None:
    changes = (*PLUS, ("database.read_pool_nodes", "3"))
    pool = instances(planned("prod", resolve=True, changes=changes))["read-pool"]
    assert (pool.inputs["instanceType"], pool.inputs["nodeCount"]) == ("READ_POOL_INSTANCE", 3)
    assert pool.inputs["masterInstanceName"] == "holdfast-database"
    assert "read-pool" not in instances(planned("prod"))


def test_by_private_service_connect_google_makes_each_instances_endpoint_and_name() -> None:
    plan = planned("prod", resolve=True, changes=(*PSC, *PLUS, ("database.read_pool_nodes", "2")))
    network = "projects/holdfast-prod/global/networks/holdfast-network"
    found = instances(plan)
    assert set(found) == {"database", "database-dr", "read-pool"}
    for one in found.values():
        has = one.inputs["settings"]["ipConfiguration"]
        (psc,) = has["pscConfigs"]
        assert psc == {
            "pscEnabled": True,
            "allowedConsumerProjects": ["holdfast-prod"],
            "pscAutoConnections": [{"consumerNetwork": network, "consumerServiceProjectId": "holdfast-prod"}],
            "pscAutoDnsEnabled": True,
        }
        assert not {"privateNetwork", "allocatedIpRange"} & has.keys()
    # Its copies wait for it.
    assert {one.urn for one in plan.of_type(POLICY)} <= set(found["database"].depends_on)
    apis = {one.inputs["service"] for one in plan.of_type("gcp:projects/service:Service")}
    assert {"dns.googleapis.com", "networkconnectivity.googleapis.com"} <= apis


def test_what_a_recovery_put_in_its_place_has_its_own_name() -> None:
    name = "holdfast-database-1a2b3c4-restored-0a1b2c"
    assert primary("prod", [("database.instance", name)]).inputs["name"] == name


def test_services_and_people_come_in_as_themselves() -> None:
    users = {one.inputs["name"]: one.inputs for one in planned("prod", resolve=True).of_type(USER)}
    iam = {name: user["type"] for name, user in users.items() if user["type"] != "BUILT_IN"}
    assert iam == {
        "holdfast-api@holdfast-prod.iam": "CLOUD_IAM_SERVICE_ACCOUNT",
        "holdfast-jobs@holdfast-prod.iam": "CLOUD_IAM_SERVICE_ACCOUNT",
        "holdfast-verify@holdfast-prod.iam": "CLOUD_IAM_SERVICE_ACCOUNT",
        "holdfast-oncall@holdfast.example": "CLOUD_IAM_GROUP",
    }
    assert not any("password" in users[name] for name in iam)


def test_readers_are_in_their_group_alone_and_wait_for_whoever_makes_it() -> None:
    plan = planned("prod", resolve=True)
    (migrate,) = (one for one in plan.of_type("gcp:cloudrunv2/job:Job") if one.inputs["name"] == "holdfast-migrate")
    readers = [one for one in plan.of_type(USER) if one.inputs["name"] in logins.READERS]
    assert len(readers) == 2
    for one in readers:
        assert one.inputs["databaseRoles"] == ["holdfast_readonly"]
        assert migrate.urn in one.depends_on
    # Without an image nobody makes the group.
    names = {one.inputs["name"] for one in planned("prod", image=False).of_type(USER)}
    assert names == {"[unknown]", *logins_with_passwords(), "holdfast-oncall@holdfast.example"}


def logins_with_passwords() -> set[str]:
    return {logins.OPERATOR, logins.MIGRATOR, logins.VERIFIER}


def test_the_runtime_reads_who_is_put_into_which_group() -> None:
    (migrate,) = (
        one
        for one in planned("prod", resolve=True).of_type("gcp:cloudrunv2/job:Job")
        if one.inputs["name"] == "holdfast-migrate"
    )
    (container,) = migrate.inputs["template"]["template"]["containers"]
    (text,) = (one["value"] for one in container["envs"] if one["name"] == "DB_ROLE_MEMBERS")
    url = "postgresql://h/d"
    members = Settings(_env_file=None, database_url=url, db_role_members=text).db_role_members  # type: ignore[call-arg,arg-type]
    assert members == {
        "holdfast_app": ("holdfast-api@holdfast-prod.iam",),
        "holdfast_jobs": ("holdfast-jobs@holdfast-prod.iam", "holdfast-verify@holdfast-prod.iam"),
        "holdfast_readonly": ("holdfast-oncall@holdfast.example",),
        "holdfast_owner": ("holdfast_operator", "holdfast_verifier"),
    }
    assert {logins.OWNER, logins.APP, logins.JOBS, logins.READONLY} == set(MEMBER_ROLES)


def test_a_url_is_one_that_the_runtime_reads() -> None:
    text = urls.database_url("holdfast_operator", "p@s:s/w%", "holdfast", "p:us-central1:holdfast-database-1a2b3c4")
    url = make_url(text)
    assert (url.username, url.password, url.database) == ("holdfast_operator", "p@s:s/w%", "holdfast")
    assert url.query["host"] == "/cloudsql/p:us-central1:holdfast-database-1a2b3c4"
    assert Settings(_env_file=None, database_url=text).url.query["host"] == url.query["host"]  # type: ignore[call-arg,arg-type]


def test_a_dutys_url_is_of_the_instance_that_the_runtime_is_told() -> None:
    text = urls.duty_url("holdfast_migrator", "p@s:s/w%", "holdfast")
    told = Settings(
        _env_file=None,  # type: ignore[call-arg]
        gcp_sql_instance="p:us-central1:i",
        db_user="holdfast_migrator",
        migration_database_url=text,  # type: ignore[arg-type]
    )
    url = told.url_for("migration")
    assert (url.username, url.password, url.database) == ("holdfast_migrator", "p@s:s/w%", "holdfast")
    assert url.query == told.url.query
