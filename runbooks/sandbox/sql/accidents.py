"""Accidents of one instance, at run time: the sandbox's own calls, not Google's."""

from runbooks.sandbox.engine.archive import Archive
from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

FIELDS = {"network", "latency", "archive"}
NETWORK = {"cut": True, "whole": False}
SEGMENT_LENGTH = 24
HELP = 'write {"network": "cut" or "whole"}, {"latency": SECONDS} or {"archive": "gap"}'


def happen(sql: Sql, project: str, name: str, body: Document) -> None:
    """Let accidents happen.

    Args:
        sql: the service.
        project: the instance's project.
        name: the instance's name.
        body: `network` loses everything, or carries again; `latency` is added to the way of each piece of data;
            `archive` loses the newest piece of the log.

    Raises:
        ApiError: there is no such instance.
        SandboxError: there is no such accident.
    """
    instance = sql.instances.get(project, name)
    network, latency, archive = body.get("network"), body.get("latency", 0.0), body.get("archive", "gap")
    if (
        not body
        or set(body) - FIELDS
        or (network is not None and network not in NETWORK)
        or not isinstance(latency, int | float)
        or latency < 0
        or archive != "gap"
    ):
        raise SandboxError(HELP)
    front = sql.fleet.front(instance)
    if network is not None:
        front.cut_off(NETWORK[network])
    if "latency" in body:
        front.slow_down(latency)
    if "archive" in body:
        cluster = sql.fleet.cluster(instance)
        Archive(cluster.archive_folder, programs=cluster.programs).switch(cluster)
        segments = [path for path in cluster.archive_folder.iterdir() if len(path.name) == SEGMENT_LENGTH]
        max(segments, key=lambda path: path.name).unlink()
