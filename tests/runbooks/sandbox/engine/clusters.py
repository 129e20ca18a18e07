"""Clusters for tests, in a folder with a hostile name."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runbooks.local.ports import free_port
from runbooks.sandbox.engine.archive import Archive
from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.engine.programs import programs_of

PASSWORD = "p'a\"s%s w#rd@:\\/é"
HOSTILE = "a b'c\"d%f $HOME;ü"
VERSIONS = (16, 18)
# Where nothing is said about a machine that fails, nothing waits for the disk.
QUICK = {"fsync": "off", "full_page_writes": "off"}


class Clusters:
    """Makes clusters, and removes them when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / HOSTILE
        self.made: list[Cluster] = []

    def new(self, name: str, *, version: int = 18, archive: Path | None = None, **flags: str) -> Cluster:
        """One that has no data yet."""
        cluster = Cluster(
            self.folder / name,
            programs=programs_of(version),
            port=free_port(),
            password=PASSWORD,
            flags=QUICK | flags,
            archive=archive,
        )
        self.made.append(cluster)
        return cluster

    def running(self, name: str, *, version: int = 18, **flags: str) -> Cluster:
        """A new one with a table `facts` of keys and texts."""
        cluster = self.new(name, version=version, **flags)
        cluster.create()
        cluster.start()
        cluster.execute("CREATE TABLE facts (id int PRIMARY KEY, said text NOT NULL)")
        return cluster


@contextmanager
def clusters_in(folder: Path) -> Iterator[Clusters]:
    made = Clusters(folder)
    try:
        yield made
    finally:
        for cluster in made.made:
            cluster.remove()


def archive_of(cluster: Cluster) -> Archive:
    return Archive(cluster.archive_folder, programs=cluster.programs)


def add(cluster: Cluster, *ids: int) -> dt.datetime:
    """Insert facts, each its own transaction, and return a moment after the last."""
    for id_ in ids:
        cluster.execute("INSERT INTO facts VALUES (%s, %s)", id_, f"fact {id_} 'ü'")
    moment: dt.datetime = cluster.execute("SELECT clock_timestamp()")[0][0]
    return moment


def facts(cluster: Cluster) -> list[int]:
    rows = cluster.execute("SELECT id, said FROM facts ORDER BY id")
    assert all(said == f"fact {id_} 'ü'" for id_, said in rows)
    return [id_ for id_, _said in rows]
