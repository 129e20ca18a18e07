"""SIGKILL of a real sandbox at each step of what moves a primary: afterwards there is one, with all that it had."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from runbooks.sandbox.catalogue import read_fault
from runbooks.sandbox.engine import standby as standbys
from runbooks.sandbox.errors import SandboxError
from tests.runbooks.sandbox.admin import ENTERPRISE, MARKS, PASSWORD, PLUS, Admin, code
from tests.runbooks.sandbox.engine.clusters import add, clusters_in, facts
from tests.runbooks.sandbox.test_admin_faults import command, servers
from tests.waiting import wait_until

HA = ENTERPRISE | {"availabilityType": "REGIONAL"}
# Of postmaster.pid.
PORT_LINE = 3


class Crashing:
    """A sandbox that is killed and started again on the same state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        self._process, self.admin = self._stack.enter_context(command(self.state))

    def crash(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._stack.close()
        self.start()

    def close(self) -> None:
        self._stack.close()

    def primaries(self) -> list[str]:
        """The names of the instances' folders in which a server runs that takes writes; of each, as often."""
        found = []
        for folder in {Path(one.info["cwd"]) for one in servers(self.state)}:
            lines = (folder / "postmaster.pid").read_text().splitlines()
            with (
                contextlib.closing(
                    psycopg2.connect(
                        host="127.0.0.1",
                        port=lines[PORT_LINE],
                        user="cloudsqladmin",
                        password=(self.state / "sql" / "password").read_text(),
                        dbname="postgres",
                    )
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("SELECT pg_is_in_recovery()")
                if cursor.fetchone() == (False,):
                    found.append(folder.parent.parent.name)
        return found


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashing]:
    """Beside an instance to restore and clone, one with high availability, and a primary with its replica."""
    sandbox = Crashing(tmp_path_factory.mktemp("sandbox") / "state")
    admin = sandbox.admin
    for name, settings in (("one", ENTERPRISE), ("ha", HA), ("east", PLUS)):
        admin.insert(name, settings, rootPassword=PASSWORD)
        admin.sql(name, MARKS)
    replica = {"name": "west", "region": "us-east1", "masterInstanceName": "east", "settings": PLUS}
    admin.well(admin.http.post("instances", json=replica))
    admin.well(admin.http.patch("instances/east", json={"replicationCluster": {"failoverDrReplicaName": "west"}}))
    yield sandbox
    sandbox.close()
    assert servers(sandbox.state) == []


def hold(admin: Admin, method: str, step: str, instance: str, answer_of: Any) -> str:
    """Begin an operation that is held at a step.

    Returns:
        Its name.
    """
    admin.fault(f"{method}:hold={step}")
    answer = answer_of()
    assert answer.status_code == 200, answer.text

    def is_held() -> bool:
        places = admin.control.get("instances").json()["instances"]
        return {"instance": instance, "held": step}.items() <= next(
            one for one in places if one["instance"] == instance
        ).items()

    wait_until(is_held)
    return str(answer.json()["name"])


@pytest.mark.parametrize(
    "text", ["instances.failover:hold=lunch", "users.insert:hold=killed", "instances.failover:hold"]
)
def test_a_step_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(SandboxError, match=r"hold=STEP|there is no such step"):
        read_fault(text)
    with pytest.raises(SandboxError, match="hold=STEP"):
        read_fault("instances.failover:hold=killedx2")
    assert str(read_fault("instances.failover:hold=killed")) == "instances.failover:hold=killed"


def try_to_mark(admin: Admin, instance: str, word: str) -> set[str]:
    """Write a word, if that can be done now.

    Returns:
        What was acknowledged.
    """
    try:
        admin.mark(instance, word)
    except (psycopg2.OperationalError, psycopg2.errors.ReadOnlySqlTransaction):
        return set()
    return {word}


def check_ended(admin: Admin, operation: str) -> None:
    assert code(admin.http.get(f"operations/{operation}").json()) == "INTERNAL_ERROR"


def roles(admin: Admin) -> tuple[str, str]:
    """The primary and the replica of the pair."""
    [primary] = [name for name in ("east", "west") if "masterInstanceName" not in admin.get(name)]
    [replica] = {"east", "west"} - {primary}
    assert admin.get(replica)["masterInstanceName"] == f"p-1:{primary}"
    assert admin.get(primary)["replicaNames"] == [replica]
    return primary, replica


EXCHANGES = ("switchover", "promoteReplica?failover=true")


@pytest.mark.parametrize(
    ("failover", "exchange", "restore"),
    [
        ("killed", "stopped", "restored"),
        ("decided", "decided", "decided"),
        ("served", "promoted", None),
        ("followed", "demoted", None),
    ],
)
def test_a_crash_at_a_step_leaves_one_primary_that_has_all_that_was_acknowledged(
    crashing: Crashing, failover: str, exchange: str, restore: str | None
) -> None:
    admin = crashing.admin
    primary, replica = roles(admin)
    call = EXCHANGES[primary == "east"]
    acknowledged = {name: admin.marks(name) for name in ("one", "ha", primary)}
    for name, words in acknowledged.items():
        admin.mark(name, f"before {failover}")
        words.add(f"before {failover}")
    begun = []
    if restore:
        backup = admin.backup("one")
        admin.mark("one", f"after the backup {restore}")
        body = {"restoreBackupContext": {"backupRunId": backup}}
        begun = [
            hold(
                admin,
                "instances.restoreBackup",
                restore,
                "one",
                lambda: admin.http.post("instances/one/restoreBackup", json=body),
            )
        ]
        # Either the old data or the restored.
        acknowledged["one"] |= set() if restore == "decided" else {f"after the backup {restore}"}
    begun += [
        hold(admin, "instances.failover", failover, "ha", lambda: admin.failover("ha")),
        hold(
            admin,
            f"instances.{call.partition('?')[0]}",
            exchange,
            replica,
            lambda: admin.http.post(f"instances/{replica}/{call}"),
        ),
    ]
    written = try_to_mark(admin, "ha", f"held {failover}")
    assert bool(written) == (failover in ("served", "followed"))
    acknowledged["ha"] |= written
    # Nobody writes to both.
    by_either = [try_to_mark(admin, name, f"held {exchange}") for name in ("east", "west")]
    assert by_either.count(set()) >= 1
    acknowledged[primary] |= by_either[0] | by_either[1]

    crashing.crash()
    admin = crashing.admin
    for operation in begun:
        check_ended(admin, operation)
    was, (primary, replica) = primary, roles(admin)
    assert (was == primary) == (exchange == "stopped")
    acknowledged[primary] = acknowledged.pop(primary, None) or acknowledged.pop(was)
    assert len(crashing.primaries()) == len(set(crashing.primaries())) == 3
    for name, words in acknowledged.items():
        assert admin.get(name)["state"] == "RUNNABLE"
        assert admin.marks(name) == words
        admin.mark(name, f"again {failover}")
    wait_until(lambda: admin.marks(replica) == admin.marks(primary))
    assert admin.sql("ha", "SELECT sync_state FROM pg_stat_replication") == [("sync",)]


def test_a_crash_in_a_clone_leaves_its_source_and_no_half_an_instance(crashing: Crashing) -> None:
    admin = crashing.admin
    words = admin.marks("one")
    hold(admin, "instances.clone", "copied", "copy", lambda: admin.clone("one", "copy"))
    admin.mark("one", "meanwhile")
    crashing.crash()
    admin = crashing.admin
    assert admin.get("copy")["state"] == "FAILED"
    assert admin.get("one")["state"] == "RUNNABLE"
    assert admin.marks("one") == words | {"meanwhile"}
    assert len(crashing.primaries()) == len(set(crashing.primaries())) == 3
    admin.well(admin.http.delete("instances/copy"))


def test_promotion_with_failover_makes_the_primary_that_was_lost_a_replica(crashing: Crashing) -> None:
    admin = crashing.admin
    primary, replica = roles(admin)
    admin.mark(primary, "seen")
    wait_until(lambda: "seen" in admin.marks(replica))
    admin.well(admin.http.post(f"instances/{replica}/promoteReplica?failover=true"))
    assert roles(admin) == (replica, primary)
    assert admin.get(primary)["replicationCluster"] == {"drReplica": True}
    assert admin.get(replica)["replicationCluster"] == {"failoverDrReplicaName": f"p-1:{primary}"}
    admin.mark(replica, "went on")
    wait_until(lambda: admin.marks(primary) == admin.marks(replica))
    assert "seen" in admin.marks(primary)


def test_a_crash_in_a_promotion_leaves_two_instances_that_no_longer_know_each_other(crashing: Crashing) -> None:
    admin = crashing.admin
    primary, replica = roles(admin)
    admin.mark(primary, "shared")
    wait_until(lambda: "shared" in admin.marks(replica))
    hold(
        admin,
        "instances.promoteReplica",
        "promoted",
        replica,
        lambda: admin.http.post(f"instances/{replica}/promoteReplica"),
    )
    admin.mark(replica, "apart")
    crashing.crash()
    admin = crashing.admin
    assert "replicaNames" not in admin.get(primary)
    assert "masterInstanceName" not in admin.get(replica)
    assert {"shared", "apart"} <= admin.marks(replica)
    assert admin.marks(primary) == admin.marks(replica) - {"apart"}


def test_a_replica_that_is_ahead_of_its_new_primary_is_made_again(tmp_path: Path) -> None:
    with clusters_in(tmp_path) as clusters:
        primary = clusters.running("primary")
        add(primary, 1)
        behind, ahead = clusters.new("behind"), clusters.new("ahead")
        for standby in (behind, ahead):
            standbys.make(primary, standby)
        behind.stop()
        add(primary, 2)
        wait_until(lambda: facts(ahead) == [1, 2])
        primary.kill()
        behind.start()
        standbys.promote(behind)
        standbys.rejoin(behind, ahead)
        add(behind, 3)
        wait_until(lambda: facts(ahead) == [1, 3])
