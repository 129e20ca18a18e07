"""`python -m runtime publish-metrics`: the ages of what keeps the platform safe, with a real backup on the sandbox."""

import base64
import datetime as dt
import json
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import insert, text

from runbooks.sandbox.testing import Sandbox, sandbox
from runtime.observability.published import (
    BACKUP_AGE,
    CATALOGUE,
    OF_THE_PLATFORM,
    PARTITIONS_MONTHS_AHEAD,
    SECRET_OVERDUE,
    VERIFICATION_AGE,
    VERIFICATION_PASSED,
)
from runtime.platform.models import BackupVerification
from tests.conftest import PASSWORD, TestDatabase
from tests.running import call, environment_of
from tests.runtime.observability.clouds import points_of, reader, series_at

Publish = Callable[..., subprocess.CompletedProcess[str]]
# A thousandth of a day: none is that old in a test.
YOUNG, DUE = "0.001", "0.0000000001"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Sandbox]:
    """One with an instance that has a backup, one that has none, and two secrets."""
    with sandbox() as made:
        made.instance("main", password=PASSWORD)
        with made.admin() as admin:
            bare = admin.instances.insert(
                "bare",
                database_version="POSTGRES_18",
                region="us-central1",
                tier="db-f1-micro",
                edition="ENTERPRISE",
                deletion_protection=False,
                settings={},
            )
            admin.wait(bare)
        with httpx.Client(base_url=f"{made['secretmanager']}/v1/projects", trust_env=False) as http:
            http.headers["Authorization"] = "Bearer any"
            for project in ("one", "two", "three"):
                for secret in ("key-a", "key_b"):
                    http.post(
                        f"/{project}/secrets", params={"secretId": secret}, json={"replication": {"automatic": {}}}
                    ).raise_for_status()
                add = f"/{project}/secrets/key-a:addVersion"
                for word in (b"old", b"new"):
                    http.post(add, json={"payload": {"data": base64.b64encode(word).decode()}}).raise_for_status()
        yield made


@pytest.fixture
def publish(
    cloud: Sandbox, database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Publish:
    """Runs the command for a project."""

    def run(project: str, instance: str, **others: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **environment_of(database),
            "GOOGLE_CLOUD_PROJECT": project,
            "GOOGLE_CLOUD_REGION": "us-central1",
            "VERIFY_SQL_INSTANCE": f"p:us-central1:{instance}",
            "CLOUD_SQL_ADMIN_ENDPOINT": cloud["sql"],
            "CLOUD_MONITORING_ENDPOINT": cloud["monitoring"],
            "SECRET_MANAGER_ENDPOINT": cloud["secretmanager"],
            **others,
        }
        return call(monkeypatch, capsys, "publish-metrics", "--json", environment=environment)

    return run


def verified(database: TestDatabase, instance: str, verdict: str, hours: int) -> None:
    engine = database.engine("jobs_login")
    ended_at = dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    with engine.begin() as connection:
        connection.execute(
            insert(BackupVerification).values(
                instance=instance,
                started_at=ended_at,
                ended_at=ended_at,
                verdict=verdict,
                codes=["ROWS_MISSING"] if verdict == "failed" else [],
                measures={},
                verified_by="system",
            )
        )
    engine.dispose()


def values(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return {one["metric_type"]: one["value"] for one in json.loads(done.stdout)["series"]}


def test_it_writes_how_old_things_are_and_describes_every_metric(
    publish: Publish, cloud: Sandbox, database: TestDatabase
) -> None:
    verified(database, "main", "failed", 200)
    verified(database, "main", "passed", 30)
    verified(database, "another", "failed", 1)
    done = publish("one", "main", ROTATED_SECRETS="key-a", SECRET_ROTATION_DAYS=DUE)
    assert (done.returncode, done.stderr) == (0, "")
    written = values(done)
    assert written.keys() == {metric.type for metric in OF_THE_PLATFORM}
    for metric_type, value in written.items():
        (series,) = series_at(cloud["monitoring"], metric_type, "one")
        assert [known for _, known in points_of(series)] == [value]
        assert (series.resource.labels["job"], series.resource.labels["task_id"]) == ("publish-metrics", "0")
    assert 0 < written[BACKUP_AGE.type] < 300
    assert 30 * 3600 <= written[VERIFICATION_AGE.type] < 30 * 3600 + 60
    assert written[VERIFICATION_PASSED.type] is True
    assert written[PARTITIONS_MONTHS_AHEAD.type] == 3
    assert 0 < written[SECRET_OVERDUE.type] < 300
    (secret,) = series_at(cloud["monitoring"], SECRET_OVERDUE.type, "one")
    assert dict(secret.metric.labels) == {"secret": "key-a"}
    with reader(cloud["monitoring"]) as client:
        described = {one.type: one for one in client.list_metric_descriptors(name="projects/one")}
    assert {name: (one.unit, one.description) for name, one in described.items()} == {
        metric.type: (metric.unit, metric.description) for metric in CATALOGUE.values()
    }
    assert [label.key for label in described[SECRET_OVERDUE.type].labels] == ["secret"]

    again = publish("one", "main")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("holdfast: Cloud Monitoring: InvalidArgument: ")
    assert again.stderr.count("\n") == 1


def test_where_nothing_was_ever_done_it_is_as_old_as_the_instance(publish: Publish, database: TestDatabase) -> None:
    engine = database.engine()
    with engine.begin() as connection:
        for (name,) in connection.execute(
            text(
                "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
                " WHERE inhparent = 'system_metrics'::regclass AND relname <> 'system_metrics_default'"
                " ORDER BY relname OFFSET 2"
            )
        ).all():
            connection.execute(text(f"DROP TABLE {name}"))
    engine.dispose()
    done = publish("two", "bare", ROTATED_SECRETS="key-a", SECRET_ROTATION_DAYS=YOUNG)
    assert (done.returncode, done.stderr) == (0, "")
    written = values(done)
    assert VERIFICATION_PASSED.type not in written
    assert 0 < written[BACKUP_AGE.type] < 300
    assert written[VERIFICATION_AGE.type] == pytest.approx(written[BACKUP_AGE.type])
    assert written[SECRET_OVERDUE.type] == 0.0
    assert written[PARTITIONS_MONTHS_AHEAD.type] == 1


def test_what_is_not_known_is_told_and_holds_the_others_up_nowhere(publish: Publish, database: TestDatabase) -> None:
    verified(database, "gone", "incomplete", 2)
    done = publish("three", "gone", ROTATED_SECRETS="absent,key_b,key-a")
    assert done.returncode == 1
    assert [line.partition(" ")[2] for line in done.stderr.splitlines()] == [
        f"known: {line}" for line in json.loads(done.stdout)["failures"]
    ]
    for words in (
        "instance gone: ",
        "secret absent: Secret Manager answers 404",
        "secret key_b: no version is enabled",
    ):
        assert words in done.stderr
    written = values(done)
    assert written.keys() == {
        metric.type for metric in (VERIFICATION_AGE, VERIFICATION_PASSED, PARTITIONS_MONTHS_AHEAD, SECRET_OVERDUE)
    }
    assert written[VERIFICATION_PASSED.type] is False


def test_without_a_project_or_a_monitoring_it_is_one_line(publish: Publish) -> None:
    done = publish("", "main")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("holdfast: GOOGLE_CLOUD_PROJECT: not set; ")
    done = publish("four", "main", CLOUD_MONITORING_ENDPOINT="127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("holdfast: Cloud Monitoring: ServiceUnavailable: ")
