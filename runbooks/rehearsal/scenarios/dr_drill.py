"""dr-drill while an application writes: it notices nothing, and nothing is left of the drill."""

from pathlib import Path
from typing import Any

from runbooks.engine.records import Ended
from runbooks.procedures.dr_drill import PROCEDURE, Asked
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage
from runbooks.rehearsal.writer import COUNT, Writer

# What making and deleting a replica counts up.
COUNTED = {"settings_version"}

_before: dict[Path, tuple[Writer, dict[str, Any]]] = {}


def prepare(stage: Stage) -> Asked:
    """Nothing is wrong, and the application is at work."""
    seen = _seen(stage)
    _before[stage.folder] = (Writer(stage, stage.target.logins[0], "drill").start(), seen)
    return Asked()


def check(stage: Stage, ended: Ended) -> None:
    """No write failed, all are there, and the project has the same instances with the same settings."""
    writer, before = _before.pop(stage.folder)
    writer.stop()
    rows = stage.query(COUNT, writer.name)[0][0]
    stage.expect("no write failed", holds=not writer.failures, found=writer.failures[:1])
    stage.expect("each write is there", holds=rows == writer.written > 0, found=f"{rows} of {writer.written}")
    after = _seen(stage)
    stage.expect("production is as it was", holds=after == before, found=f"{before} and then {after}")
    stage.expect("something was measured", holds=any(record.measures.rto_seconds for record in ended.records))


def _seen(stage: Stage) -> dict[str, Any]:
    return {
        one.name: (one.state, one.replica_names, one.settings.model_dump(exclude=COUNTED))
        for one in stage.tools.admin.instances.list()
    }


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
