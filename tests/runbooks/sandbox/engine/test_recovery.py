"""Backups, the archive, and recovery to its end or to a moment; the data is read before and after."""

import datetime as dt
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbooks.sandbox.engine import backup as backups
from runbooks.sandbox.engine.backup import Backup
from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.engine.errors import (
    ArchiveGapError,
    BackupCorruptedError,
    EngineError,
    TargetBeforeBackupError,
    TargetNotReachedError,
)
from runbooks.sandbox.engine.recovery import recover
from runbooks.sandbox.engine.wal import SEGMENT_BYTES, segment_number, segments_in
from tests.runbooks.sandbox.engine.clusters import VERSIONS, Clusters, add, archive_of, clusters_in, facts

A_MINUTE = dt.timedelta(minutes=1)
A_MICROSECOND = dt.timedelta(microseconds=1)


def take(cluster: Cluster, name: str = "backup") -> Backup:
    return backups.take(cluster, cluster.folder / name)


def content(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class History:
    """A cluster that was backed up empty and archived after each fact, with each one's moment and segment."""

    source: Cluster
    backup: Backup
    moments: list[dt.datetime]
    segments: list[str]
    idle: dt.datetime

    @property
    def archive(self) -> Path:
        return self.source.archive_folder


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with clusters_in(tmp_path_factory.mktemp("history")) as clusters:
        source = clusters.running("source", track_commit_timestamp="on")
        backup = take(source)
        archive = archive_of(source)
        moments, segments = list[dt.datetime](), list[str]()
        for id_ in (1, 2, 3):
            moments.append(add(source, id_))
            segments.append(str(source.execute("SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0]))
            archive.switch(source)
        idle: dt.datetime = source.execute("SELECT clock_timestamp()")[0][0]
        archive.switch(source)
        yield History(source, backup, moments, segments, idle)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_backup_under_load_recovers_to_a_moment_between_two_commits_and_to_the_end(
    clusters: Clusters, version: int
) -> None:
    source = clusters.running("source", version=version)
    written = list[int]()
    ended = threading.Event()

    def load() -> None:
        with source.connect() as connection, connection.cursor() as cursor:
            while not ended.is_set():
                id_ = len(written)
                cursor.execute("INSERT INTO facts VALUES (%s, %s)", (id_, f"fact {id_} 'ü'"))
                written.append(id_)

    with ThreadPoolExecutor() as threads:
        loading = threads.submit(load)
        try:
            backup = take(source)
        finally:
            ended.set()
        loading.result()
    backups.verify(backup)
    assert backups.load(backup.folder) == backup
    assert backup.started_at < backup.ended_at
    assert backup.bytes > 20_000_000
    between = add(source, 1_000_001)
    last = add(source, 1_000_002)
    archive_of(source).switch(source)
    latest = archive_of(source).latest()
    assert latest is not None
    assert last <= latest < last + A_MINUTE
    taken, archived = content(backup.folder), content(source.archive_folder)

    # In a zone of its own: a moment is a moment.
    target = between.astimezone(dt.timezone(dt.timedelta(hours=-7)))
    then, end = clusters.new("then", version=version), clusters.new("end", version=version)
    with ThreadPoolExecutor() as threads:
        both = [
            threads.submit(recover, backup, source.archive_folder, into, target=moment)
            for into, moment in ((then, target), (end, None))
        ]
        for each in both:
            each.result()
    assert facts(then) == [*written, 1_000_001]
    assert facts(end) == [*written, 1_000_001, 1_000_002] == facts(source)
    assert (content(backup.folder), content(source.archive_folder)) == (taken, archived), "not only read"

    heap = backup.data / source.execute("SELECT pg_relation_filepath('pg_class')")[0][0]
    whole = heap.read_bytes()
    heap.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BackupCorruptedError, match="checksum mismatch"):
        backups.verify(backup)
    heap.unlink()
    with pytest.raises(BackupCorruptedError, match="not on disk"):
        backups.verify(backup)
    (backup.data / "backup_manifest").unlink()
    for refused in (backup.folder, backup.folder.with_name("nowhere")):
        with pytest.raises(BackupCorruptedError, match="not a whole backup"):
            backups.load(refused)


def test_out_of_a_damaged_backup_no_cluster_is_made(clusters: Clusters, history: History) -> None:
    shutil.copytree(history.backup.folder, clusters.folder / "damaged")
    damaged = backups.load(clusters.folder / "damaged")
    heap = damaged.data / history.source.execute("SELECT pg_relation_filepath('pg_class')")[0][0]
    whole = heap.read_bytes()
    heap.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    into = clusters.new("into")
    # The server itself starts on it, and would serve what is wrong.
    for target in (None, history.moments[1]):
        with pytest.raises(BackupCorruptedError, match="checksum mismatch"):
            recover(damaged, history.archive, into, target=target)
        assert not into.exists
        assert not into.is_running


def test_a_recovered_cluster_has_a_timeline_an_archive_and_backups_of_its_own(
    clusters: Clusters, history: History
) -> None:
    then = clusters.new("then")
    recover(history.backup, history.archive, then, target=history.moments[1])
    add(then, 4)
    own = take(then)
    assert own.timeline == 2
    newest = add(then, 5)
    add(then, 6)
    archive_of(then).switch(then)
    again = clusters.new("again")
    recover(own, then.archive_folder, again, target=newest)
    again.restart()
    assert facts(again) == [1, 2, 4, 5]
    assert facts(then) == [1, 2, 4, 5, 6]
    assert facts(history.source) == [1, 2, 3]


def test_the_moment_of_a_commit_itself_is_included_to_the_microsecond(clusters: Clusters, history: History) -> None:
    [(committed,)] = history.source.execute("SELECT pg_xact_commit_timestamp(xmin) FROM facts WHERE id = 2")
    at, just_before = clusters.new("at"), clusters.new("before")
    recover(history.backup, history.archive, at, target=committed)
    recover(history.backup, history.archive, just_before, target=committed - A_MICROSECOND)
    assert facts(at) == [1, 2]
    assert facts(just_before) == [1]


def test_a_moment_outside_the_window_is_refused_in_words_and_nothing_is_made(
    clusters: Clusters, history: History
) -> None:
    source, backup, archive = history.source, history.backup, history.archive
    latest = archive_of(source).latest()
    assert latest is not None
    assert latest >= history.idle, "an idle cluster can be recovered to now"
    into = clusters.new("into")
    window = f"{backup.ended_at:%H:%M:%S.%f}.* to .*{latest:%H:%M:%S.%f}"
    for late in (latest + A_MICROSECOND, latest + A_MINUTE):
        with pytest.raises(TargetNotReachedError, match=window):
            recover(backup, archive, into, target=late)
    for early in (backup.ended_at - A_MICROSECOND, backup.started_at - A_MINUTE):
        with pytest.raises(TargetBeforeBackupError, match=f"{backup.ended_at:%H:%M:%S.%f}"):
            recover(backup, archive, into, target=early)
    empty = clusters.folder / "no archive"
    empty.mkdir(parents=True)
    with pytest.raises(TargetNotReachedError, match="nothing is archived"):
        recover(backup, empty, into, target=backup.ended_at)
    with pytest.raises(EngineError, match="time zone"):
        recover(backup, archive, into, target=latest.replace(tzinfo=None))
    with pytest.raises(EngineError, match="18 cannot be restored by PostgreSQL 16"):
        recover(backup, archive, clusters.new("old", version=16), target=None)
    assert not into.folder.exists()

    # Both ends of the window are in it.
    recover(backup, archive, into, target=latest)
    assert facts(into) == [1, 2, 3]
    first = clusters.new("first")
    recover(backup, archive, first, target=backup.ended_at)
    assert facts(first) == []
    with pytest.raises(EngineError, match="has a cluster already"):
        recover(backup, archive, into, target=None)
    assert facts(into) == [1, 2, 3]


def test_a_gap_in_the_archive_is_an_error_and_no_earlier_success(clusters: Clusters, history: History) -> None:
    archive = clusters.folder / "damaged archive"
    shutil.copytree(history.archive, archive)
    lost = archive / history.segments[1]
    whole = lost.read_bytes()
    lost.unlink()
    into = clusters.new("into")
    for target in (None, history.moments[1], history.moments[2]):
        with pytest.raises(ArchiveGapError, match=lost.name):
            recover(history.backup, archive, into, target=target)
        assert not into.exists
    # What lies before it can be reached still.
    recover(history.backup, archive, into, target=history.moments[0])
    assert facts(into) == [1]

    # A segment of full length whose content is broken: the server itself would take it for the log's end.
    lost.write_bytes(whole[:40] + bytes(SEGMENT_BYTES - 40))
    broken = clusters.new("broken")
    for target in (None, history.moments[2]):
        with pytest.raises(ArchiveGapError, match="damaged"):
            recover(history.backup, archive, broken, target=target)
        assert not broken.exists
        assert not broken.is_running


def test_an_archive_that_cannot_be_written_is_said_and_catches_up(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = clusters.running("source")
    archive = archive_of(source)
    away = source.archive_folder.with_name("away")
    source.archive_folder.rename(away)
    moment = add(source, 1)
    monkeypatch.setattr("runbooks.sandbox.engine.archive.SWITCH_SECONDS", 0.5)
    with pytest.raises(EngineError, match=r"was not archived within .*failed attempts: [1-9]"):
        archive.switch(source)
    monkeypatch.undo()
    away.rename(source.archive_folder)
    archive.switch(source)
    latest = archive.latest()
    assert latest is not None
    assert latest > moment
    numbers = [segment_number(path.name) for path in segments_in(source.archive_folder)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert not list(source.archive_folder.glob(".*")), "unfinished copies were left"


def test_the_log_before_a_backup_can_be_forgotten(clusters: Clusters) -> None:
    source = clusters.running("source")
    archive = archive_of(source)
    add(source, 1)
    archive.switch(source)
    old = segments_in(source.archive_folder)
    backup = take(source)
    add(source, 2)
    archive.switch(source)
    archive.forget_before(backup)
    left = segments_in(source.archive_folder)
    assert left
    assert not set(old) & set(left)
    # Smaller than the one whose log it reads: more connections there are no hindrance.
    into = clusters.new("into", max_connections="20")
    recover(backup, source.archive_folder, into, target=None)
    assert facts(into) == [1, 2]
