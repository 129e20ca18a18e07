"""What became of a verification, in the database and in the audit log."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from runtime.cloudsql.models import BackupRun
from runtime.platform import audit
from runtime.platform.models import BackupVerification
from runtime.verification.checks import Check, Verdict, codes_of, verdict_of


@dataclass(frozen=True)
class Verification:
    """One verification, at its end.

    Attributes:
        instance: whose backup.
        backup: which; None when there was none.
        checks: all that were made.
        measures: rows by table, and the seconds that recovery took.
    """

    instance: str
    backup: BackupRun | None
    started_at: dt.datetime
    ended_at: dt.datetime
    checks: Sequence[Check]

    @property
    def verdict(self) -> Verdict:
        """What all checks together say."""
        return verdict_of(self.checks)

    @property
    def measures(self) -> dict[str, Any]:
        """Rows by table, and the seconds that recovery took."""
        found = {name: value for check in self.checks for name, value in check.measures.items()}
        seconds = {name: found.pop(name) for name in ("rto_seconds",) if name in found}
        return {"rows": found, **seconds}

    def document(self) -> dict[str, Any]:
        """As programs read it."""
        return {
            "instance": self.instance,
            "backup_run_id": self.backup.id if self.backup else None,
            "backup_ended_at": _iso(self.backup.end_time if self.backup else None),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "verdict": self.verdict.value,
            "codes": [code.value for code in codes_of(self.checks)],
            "measures": self.measures,
            "checks": [check.document() for check in self.checks],
        }


def record(connection: Connection, verification: Verification, *, actor: str = audit.SYSTEM) -> None:
    """Write it down, in the caller's transaction."""
    codes = [code.value for code in codes_of(verification.checks)]
    backup = verification.backup
    connection.execute(
        insert(BackupVerification).values(
            instance=verification.instance,
            backup_run_id=backup.id if backup else None,
            backup_ended_at=backup.end_time if backup else None,
            started_at=verification.started_at,
            ended_at=verification.ended_at,
            verdict=verification.verdict.value,
            codes=codes,
            measures=verification.measures,
            verified_by=actor,
        )
    )
    audit.record(
        connection,
        action="backup.verify",
        kind="instance",
        ident=verification.instance,
        actor=actor,
        detail={
            "verdict": verification.verdict.value,
            "codes": codes,
            "backup_run_id": str(backup.id) if backup else None,
        },
    )


def last_passed(connection: Connection, instance: str) -> tuple[dt.datetime, Mapping[str, int]] | None:
    """When a backup of an instance last passed, and how many rows each table had."""
    found = connection.execute(
        select(BackupVerification.ended_at, BackupVerification.measures)
        .where(BackupVerification.instance == instance, BackupVerification.verdict == Verdict.PASSED.value)
        .order_by(BackupVerification.ended_at.desc())
        .limit(1)
    ).one_or_none()
    return None if found is None else (found.ended_at, found.measures.get("rows", {}))


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
