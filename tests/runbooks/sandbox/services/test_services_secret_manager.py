"""Secret Manager, driven by Google's own client."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from runbooks.sandbox.services import secret_manager
from runbooks.sandbox.services.crc32c import crc32c
from runbooks.sandbox.store import Store
from tests.runbooks.sandbox.services.google_services import client, serving

PARENT = "projects/holdfast"
NAME = f"{PARENT}/secrets/api-database-url"
HOSTILE = "p@ss:w/rd%20?#[]'\"\\$& ü\0\n".encode()


@pytest.fixture(scope="module")
def served(store: Store) -> Iterator[Any]:
    with serving(secret_manager.app(store)) as url:
        yield client("secretmanager.v1", url).projects().secrets()


@pytest.fixture
def secrets(served: Any) -> Iterator[Any]:
    yield served
    for secret in served.list(parent=PARENT).execute().get("secrets", []):
        served.delete(name=secret["name"]).execute()


def make(secrets: Any) -> None:
    body = {"replication": {"automatic": {}}, "labels": {"env": "dev"}}
    secrets.create(parent=PARENT, secretId="api-database-url", body=body).execute()


def payload(data: bytes) -> dict[str, Any]:
    return {"payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": str(crc32c(data))}}


def add(secrets: Any, data: bytes) -> dict[str, Any]:
    return secrets.addVersion(parent=NAME, body=payload(data)).execute()


def read(secrets: Any, version: str) -> bytes:
    answer = secrets.versions().access(name=f"{NAME}/versions/{version}").execute()
    data = base64.b64decode(answer["payload"]["data"])
    assert answer["payload"]["dataCrc32c"] == str(crc32c(data))
    return data


def status_of(call: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as refused:
        call.execute()
    return refused.value.status_code, refused.value.reason


REMINDED = {
    "replication": {"userManaged": {"replicas": [{"location": "us-central1"}, {"location": "us-east1"}]}},
    "topics": [{"name": "projects/holdfast/topics/rotation"}],
    "rotation": {"rotationPeriod": "7776000s", "nextRotationTime": "2999-01-01T00:00:00Z"},
}


def test_a_secret_keeps_when_it_is_to_be_replaced_and_who_is_told(secrets: Any) -> None:
    secrets.create(parent=PARENT, secretId="api-database-url", body=REMINDED).execute()
    found = secrets.get(name=NAME).execute()
    assert {name: found[name] for name in REMINDED} == REMINDED


@pytest.mark.parametrize(
    "wrong",
    [
        {"topics": []},
        {"rotation": {"rotationPeriod": "7776000s"}},
        {"rotation": {"rotationPeriod": "60s", "nextRotationTime": "2999-01-01T00:00:00Z"}},
        {"rotation": {"rotationPeriod": "7776000s", "nextRotationTime": "2020-01-01T00:00:00Z"}},
    ],
    ids=str,
)
def test_a_rotation_of_which_nobody_could_be_reminded_is_refused(secrets: Any, wrong: dict[str, Any]) -> None:
    call = secrets.create(parent=PARENT, secretId="api-database-url", body={**REMINDED, **wrong})
    assert status_of(call)[0] == 400
    assert secrets.list(parent=PARENT).execute().get("secrets", []) == []


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_password_is_rotated(secrets: Any) -> None:
    make(secrets)
    assert add(secrets, b"old")["name"] == f"{NAME}/versions/1"
    second = add(secrets, HOSTILE)
    assert (second["state"], second["clientSpecifiedPayloadChecksum"]) == ("ENABLED", True)
    assert (read(secrets, "1"), read(secrets, "2"), read(secrets, "latest")) == (b"old", HOSTILE, HOSTILE)

    secrets.versions().disable(name=f"{NAME}/versions/1", body={}).execute()
    assert status_of(secrets.versions().access(name=f"{NAME}/versions/1")) == (
        400,
        f"Secret Version [{NAME}/versions/1] is in DISABLED state.",
    )
    secrets.versions().enable(name=f"{NAME}/versions/1", body={}).execute()
    assert read(secrets, "1") == b"old"
    destroyed = secrets.versions().destroy(name=f"{NAME}/versions/1", body={}).execute()
    assert destroyed["state"] == "DESTROYED"
    assert status_of(secrets.versions().enable(name=f"{NAME}/versions/1", body={}))[0] == 400
    listed = secrets.versions().list(parent=NAME).execute()["versions"]
    assert [(version["name"][-1], version["state"]) for version in listed] == [("2", "ENABLED"), ("1", "DESTROYED")]
    enabled = secrets.versions().list(parent=NAME, filter="state:ENABLED").execute()
    assert [version["name"][-1] for version in enabled["versions"]] == ["2"]


def test_latest_is_the_last_added_even_if_it_is_disabled(secrets: Any) -> None:
    make(secrets)
    assert status_of(secrets.versions().access(name=f"{NAME}/versions/latest"))[0] == 404
    add(secrets, b"1")
    add(secrets, b"2")
    secrets.versions().disable(name=f"{NAME}/versions/latest", body={}).execute()
    assert status_of(secrets.versions().access(name=f"{NAME}/versions/latest"))[0] == 400


def test_data_that_was_damaged_on_its_way_is_refused(secrets: Any) -> None:
    make(secrets)
    body = payload(b"data")
    body["payload"]["dataCrc32c"] = "1"
    assert status_of(secrets.addVersion(parent=NAME, body=body))[0] == 400
    assert status_of(secrets.addVersion(parent=NAME, body=payload(b"")))[0] == 400
    assert status_of(secrets.addVersion(parent=NAME, body=payload(b"x" * 65_537)))[0] == 400
    assert "versions" not in secrets.versions().list(parent=NAME).execute()
    add(secrets, b"x" * 65_536)


def test_an_etag_protects_what_somebody_else_changed(secrets: Any) -> None:
    make(secrets)
    version = add(secrets, b"1")
    secrets.versions().disable(name=version["name"], body={"etag": version["etag"]}).execute()
    assert status_of(secrets.versions().destroy(name=version["name"], body={"etag": version["etag"]}))[0] == 400
    assert secrets.versions().get(name=version["name"]).execute()["state"] == "DISABLED"
    assert status_of(secrets.delete(name=NAME, etag='"old"'))[0] == 400
    assert secrets.get(name=NAME).execute()["name"] == NAME


def test_a_secret_is_made_once_changed_listed_and_deleted(secrets: Any) -> None:
    make(secrets)
    with pytest.raises(HttpError) as refused:
        make(secrets)
    assert refused.value.status_code == 409
    add(secrets, b"1")
    changed = {"labels": {"env": "prod"}, "versionAliases": {"current": "1"}}
    patched = secrets.patch(name=NAME, updateMask="labels,versionAliases", body=changed).execute()
    assert patched["labels"] == {"env": "prod"}
    assert read(secrets, "current") == b"1"
    for number in range(3):
        secrets.create(parent=PARENT, secretId=f"s{number}", body={"replication": {"automatic": {}}}).execute()
    first = secrets.list(parent=PARENT, pageSize=3).execute()
    assert first["totalSize"] == 4
    rest = secrets.list(parent=PARENT, pageSize=3, pageToken=first["nextPageToken"]).execute()
    names = [secret["name"].rpartition("/")[2] for page in (first, rest) for secret in page["secrets"]]
    assert names == ["s2", "s1", "s0", "api-database-url"]
    secrets.delete(name=NAME).execute()
    make(secrets)
    assert status_of(secrets.versions().get(name=f"{NAME}/versions/1"))[0] == 404


def test_secrets_survive_a_restart(tmp_path: Path) -> None:
    for version in ("1", "2"):
        store = Store(tmp_path / "kept.db")
        with serving(secret_manager.app(store)) as url:
            secrets = client("secretmanager.v1", url).projects().secrets()
            if version == "1":
                make(secrets)
            else:
                assert read(secrets, "1") == b"1"
            add(secrets, version.encode())
        store.close()
