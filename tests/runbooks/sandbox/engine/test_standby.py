"""Standbys: they follow, their lag can be told, and nothing acknowledged is lost when one takes over."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from runbooks.sandbox.engine import backup as backups
from runbooks.sandbox.engine import standby as standbys
from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.engine.recovery import recover
from runbooks.sandbox.engine.standby import Lag
from tests.runbooks.sandbox.engine.clusters import VERSIONS, Clusters, add, archive_of, facts
from tests.waiting import wait_until

FAILOVERS = 3


def wait_caught_up(primary: Cluster, standby: Cluster) -> None:
    wait_until(lambda: standbys.lag(primary, standby) == Lag(0, 0.0))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_standby_streams_its_lag_is_told_and_it_can_be_promoted(clusters: Clusters, version: int) -> None:
    primary = clusters.running("primary", version=version, max_connections="60")
    add(primary, 1)
    # It asks for fewer connections than its primary, which a standby may not have.
    standby = clusters.new("standby", version=version, max_connections="20")
    standbys.make(primary, standby)
    wait_caught_up(primary, standby)
    assert facts(standby) == [1]
    assert standby.execute("SHOW max_connections") == [("60",)]
    with pytest.raises(EngineError, match="read-only"):
        add(standby, 2)

    standby.execute("SELECT pg_wal_replay_pause()")
    add(primary, 2)
    behind = wait_until(lambda: lag if (lag := standbys.lag(primary, standby)).seconds > 0 else None)
    assert behind.bytes > 0
    assert wait_until(lambda: standbys.lag(primary, standby).seconds > behind.seconds)
    assert facts(standby) == [1]
    standby.execute("SELECT pg_wal_replay_resume()")
    wait_caught_up(primary, standby)
    assert facts(standby) == [1, 2]

    # Stopped and started again, it goes on; a primary on another port is shown to it.
    standby.stop()
    primary.stop()
    moved = clusters.new("primary", version=version, max_connections="60")
    moved.start()
    add(moved, 3)
    standbys.follow(moved, standby)
    wait_caught_up(moved, standby)
    assert facts(standby) == [1, 2, 3]

    standbys.promote(standby)
    standbys.promote(standby)
    add(standby, 4)
    assert facts(moved) == [1, 2, 3], "the former primary was changed"
    standbys.release(moved, standby)
    assert moved.execute("SELECT count(*) FROM pg_replication_slots") == [(0,)]
    standby.restart()
    assert facts(standby) == [1, 2, 3, 4]
    assert standby.execute("SHOW max_connections") == [("20",)]


def test_commits_wait_for_a_synchronous_standby_and_for_none_when_told_so(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = clusters.running("primary")
    standby = clusters.new("standby", archive=primary.archive_folder)
    standbys.make(primary, standby)
    standbys.synchronous(primary, standbys.name_of(standby))
    add(primary, 1)
    standby.kill()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(add, primary, 2)
        wait_until(
            lambda: primary.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == [(1,)]
        )
        assert not waiting.done()
        # The archive does not wait for the standby.
        archive_of(primary).switch(primary)
        assert not waiting.done()
        standbys.synchronous(primary, None)
        waiting.result(timeout=10)
    assert facts(primary) == [1, 2]
    monkeypatch.setattr(standbys, "STREAMING_SECONDS", 0.5)
    with pytest.raises(EngineError, match="no standby"):
        standbys.synchronous(primary, "nobody")
    add(primary, 3)
    standby.start()
    wait_caught_up(primary, standby)
    assert facts(standby) == [1, 2, 3]


def test_failovers_in_a_row_under_load_lose_nothing_acknowledged_and_leave_no_gap(clusters: Clusters) -> None:
    primary = clusters.running("node 0")
    archive = primary.archive_folder
    backup = backups.take(primary, primary.folder.with_name("backup"))
    acknowledged: list[int] = []
    ended = threading.Event()
    leader = [primary]
    standby = clusters.new("node 1", archive=archive)
    standbys.make(primary, standby)
    standbys.synchronous(primary, standbys.name_of(standby))

    def load() -> None:
        tried = 0
        while not ended.is_set():
            try:
                with leader[0].connect() as connection, connection.cursor() as cursor:
                    while not ended.is_set():
                        tried += 1
                        cursor.execute("INSERT INTO facts VALUES (%s, %s)", (tried, f"fact {tried} 'ü'"))
                        acknowledged.append(tried)
            except psycopg2.Error:
                continue

    def wait_for_more() -> None:
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 20)

    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load)
        try:
            for number in range(FAILOVERS):
                # It dies with a piece of the log that only the standby can still archive.
                [(archiver,)] = primary.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'")
                os.kill(archiver, signal.SIGSTOP)
                primary.execute("SELECT pg_switch_wal()")
                wait_for_more()
                primary.kill()
                standbys.promote(standby)
                leader[0] = standby
                wait_for_more()
                primary, standby = standby, clusters.new(f"node {number + 2}", archive=archive)
                standbys.make(primary, standby)
                standbys.synchronous(primary, standbys.name_of(standby))
                standby.execute("SELECT 1")
        finally:
            ended.set()
        loading.result(timeout=30)
    present = facts(primary)
    assert set(acknowledged) <= set(present), "acknowledged and lost"
    wait_caught_up(primary, standby)
    assert facts(standby) == present

    # One archive through all of them, from a backup of the first.
    archive_of(primary).switch(primary)
    into = clusters.new("into")
    recover(backup, archive, into, target=None)
    assert facts(into) == present
