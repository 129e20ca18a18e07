"""Memorystore, driven by Google's own client; behind each instance is a real Valkey."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from googleapiclient.errors import HttpError
from redis.backoff import NoBackoff
from redis.retry import Retry

from runbooks.sandbox.services import memorystore
from runbooks.sandbox.services.calls import Call
from runbooks.sandbox.store import Store
from tests.runbooks.sandbox.services.google_services import LOCATION, client, operation_done, serving
from tests.waiting import wait_until

NAME = f"{LOCATION}/instances/cache"


@pytest.fixture(scope="module")
def location(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(memorystore.app(store, tmp_path_factory.mktemp("redis"))) as url:
        yield client("redis.v1", url).projects().locations()


@pytest.fixture
def instances(location: Any) -> Iterator[Any]:
    yield location.instances()
    for instance in location.instances().list(parent=LOCATION).execute().get("instances", []):
        done(location, location.instances().delete(name=instance["name"]).execute())


def done(location: Any, operation: dict[str, Any]) -> dict[str, Any]:
    ended = operation_done(lambda name: location.operations().get(name=name), operation)
    assert "error" not in ended, ended
    return ended


def make(location: Any, **others: Any) -> dict[str, Any]:
    body = {"tier": "BASIC", "memorySizeGb": 1, "authEnabled": True, **others}
    begun = location.instances().create(parent=LOCATION, instanceId="cache", body=body).execute()
    assert begun["metadata"]["verb"] == "create"
    return done(location, begun)["response"]


def connect(location: Any) -> redis.Redis:
    instance = location.instances().get(name=NAME).execute()
    auth = location.instances().getAuthString(name=NAME).execute().get("authString")
    return redis.Redis(host=instance["host"], port=instance["port"], password=auth, socket_timeout=5)


def test_an_instance_is_a_cache_that_wants_its_auth_string(location: Any, instances: Any) -> None:
    made = make(location, redisConfigs={"maxmemory-policy": "volatile-lru"})
    assert (made["state"], made["host"]) == ("READY", "127.0.0.1")
    with connect(location) as cache:
        cache.set("key", "value")
        assert cache.get("key") == b"value"
        assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
    with (
        redis.Redis(host=made["host"], port=made["port"], socket_timeout=5) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    auth = instances.getAuthString(name=NAME).execute()["authString"]
    assert auth not in str(instances.get(name=NAME).execute())
    assert [one["name"] for one in instances.list(parent="projects/holdfast/locations/-").execute()["instances"]] == [
        NAME
    ]

    done(location, instances.patch(name=NAME, updateMask="authEnabled", body={"authEnabled": False}).execute())
    assert instances.getAuthString(name=NAME).execute() == {}
    with connect(location) as cache:
        assert cache.ping()
        port = made["port"]
    done(location, instances.delete(name=NAME).execute())
    never = Retry(NoBackoff(), 0)
    with (
        redis.Redis(host="127.0.0.1", port=port, socket_timeout=5, retry=never) as gone,
        pytest.raises(redis.ConnectionError),
    ):
        gone.ping()


def test_a_failover_ends_connections_and_keeps_the_address(location: Any, instances: Any) -> None:
    make(location, tier="STANDARD_HA")
    with connect(location) as cache:
        cache.set("key", "value")
        before = instances.get(name=NAME).execute()
        body = {"dataProtectionMode": "FORCE_DATA_LOSS"}
        after = done(location, instances.failover(name=NAME, body=body).execute())["response"]
        assert (after["host"], after["port"]) == (before["host"], before["port"])
    with connect(location) as cache:
        assert cache.get("key") is None


def test_a_basic_instance_has_no_failover_and_is_empty_after_scaling(location: Any, instances: Any) -> None:
    make(location)
    with connect(location) as cache:
        cache.set("key", "value")
        with pytest.raises(HttpError) as refused:
            instances.failover(name=NAME, body={}).execute()
        assert refused.value.status_code == 400
        configs = {"redisConfigs": {"maxmemory-policy": "noeviction"}}
        done(location, instances.patch(name=NAME, updateMask="redis_configs", body=configs).execute())
        assert cache.get("key") == b"value"
    scaled = instances.patch(name=NAME, updateMask="memorySizeGb", body={"memorySizeGb": 2}).execute()
    assert done(location, scaled)["response"]["memorySizeGb"] == 2
    with connect(location) as cache:
        assert cache.get("key") is None
        assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_with_tls_it_is_reached_with_its_own_authority_and_in_no_other_way(
    location: Any, instances: Any, tmp_path: Path
) -> None:
    made = make(location, transitEncryptionMode="SERVER_AUTHENTICATION")
    (authority,) = made["serverCaCerts"]
    (tmp_path / "ca.pem").write_text(authority["cert"])
    auth = instances.getAuthString(name=NAME).execute()["authString"]
    url = f"rediss://:{auth}@{made['host']}:{made['port']}/0?ssl_ca_certs={tmp_path}/ca.pem"
    with redis.Redis.from_url(url, socket_timeout=5) as cache:
        cache.set("key", "v" * 1_000_000)
        assert cache.get("key") == b"v" * 1_000_000
    with connect(location) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()
    unknown = redis.Redis.from_url(url.partition("?")[0], socket_timeout=5, retry=Retry(NoBackoff(), 0))
    with unknown as cache, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        cache.ping()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"memorySizeGb": 0}, 400),
        ({"tier": "GOLD"}, 400),
        ({"redisVersion": "REDIS_9"}, 400),
        ({"redisConfigs": {"dir": "/tmp"}}, 400),  # noqa: S108  # refused
        ({"redisConfigs": {"maxmemory-policy": "a\nb"}}, 400),
        ({"transitEncryptionMode": "SERVER_AUTHENTICATED"}, 400),
        ({"readReplicasMode": "READ_REPLICAS_ENABLED"}, 501),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(instances: Any, wrong: dict[str, Any], status: int) -> None:
    body = {"tier": "BASIC", "memorySizeGb": 1, **wrong}
    with pytest.raises(HttpError) as refused:
        instances.create(parent=LOCATION, instanceId="cache", body=body).execute()
    assert refused.value.status_code == status
    assert instances.list(parent=LOCATION).execute() == {}


def test_an_instance_survives_a_restart_at_its_port(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.db")
    with serving(memorystore.app(store, tmp_path)) as url:
        first = make(client("redis.v1", url).projects().locations())
    process = store.get("redis.hidden", NAME)
    assert process is not None
    assert not psutil.pid_exists(process["process"]["pid"])
    with serving(memorystore.app(store, tmp_path)) as url:
        location = client("redis.v1", url).projects().locations()
        assert location.instances().get(name=NAME).execute()["port"] == first["port"]
        with connect(location) as cache:
            assert cache.ping()
    store.close()


def test_a_server_that_a_killed_sandbox_left_is_replaced_at_its_port(tmp_path: Path) -> None:
    store = Store(tmp_path / "kept.db")
    killed = memorystore.Memorystore(store, tmp_path)
    body = {"tier": "BASIC", "memorySizeGb": 1}
    killed.create(Call("", LOCATION, {"instanceId": "cache"}, body))
    before = wait_until(
        lambda: one if (one := store.get("redis.instance", NAME) or {}).get("state") == "READY" else None
    )
    left = killed._servers[NAME]
    with serving(memorystore.app(store, tmp_path)) as url:
        assert left.exit_code is not None
        location = client("redis.v1", url).projects().locations()
        assert location.instances().get(name=NAME).execute()["port"] == before["port"]
        with connect(location) as cache:
            assert cache.ping()
    store.close()


def test_a_start_carries_a_deletion_to_its_end_and_survives_a_cache_that_cannot_start(
    store: Store, tmp_path: Path
) -> None:
    def left(name: str, **fields: Any) -> None:
        full = f"projects/p/locations/l/instances/{name}"
        store.put(memorystore.INSTANCE, full, {"name": full, "state": "READY", **fields})
        store.put(memorystore.HIDDEN, full, {"name": full, "auth": "secret"})

    left("going", state="DELETING")
    left("broken", redisConfigs={"no-such-option": "1"})
    service = memorystore.Memorystore(store, tmp_path)
    service.start()
    found = {one["name"]: one for one in store.all(memorystore.INSTANCE, "projects/p/")}
    service.stop()
    [(name, broken)] = found.items()
    assert (name.rpartition("/")[2], broken["state"]) == ("broken", "REPAIRING")
    assert "no-such-option" in broken["statusMessage"]
    for kind in (memorystore.INSTANCE, memorystore.HIDDEN):
        store.delete(kind, name)
