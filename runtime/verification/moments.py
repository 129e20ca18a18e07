"""Checks of moments and durations, which need no database."""

import datetime as dt

from runtime.verification.checks import Check, Code, failed, passed

STALE = "The newest backup is not stale"
RTO = "Recovery was quick enough"
WINDOW = "The moment can be recovered to"


def backup_age(ended_at: dt.datetime, now: dt.datetime, *, limit: dt.timedelta) -> Check:
    """How old a backup is."""
    age = now - ended_at
    found = f"it ended {ended_at.isoformat()}, {age.total_seconds() / 3600:.1f} h ago"
    if age <= limit:
        return passed(STALE, found)
    action = "holdfast runbook run backup-now, then see why the nightly one failed (gcloud sql backups list)"
    return failed(STALE, Code.BACKUP_STALE, found, action)


def recovery_time(seconds: float, *, limit: float) -> Check:
    """How long recovery took, in seconds, until the application could connect."""
    found = f"{seconds:.1f} s of {limit:g} s"
    if seconds <= limit:
        return passed(RTO, found, measures={"rto_seconds": round(seconds, 3)})
    return failed(RTO, Code.RTO_EXCEEDED, found, "take a larger machine or disk, or promise a longer time")


def within_window(target: dt.datetime, *, earliest: dt.datetime, latest: dt.datetime) -> Check:
    """Whether a moment lies between the oldest backup and the newest log."""
    found = f"{target.isoformat()}, of {earliest.isoformat()} to {latest.isoformat()}"
    if target < earliest:
        return failed(WINDOW, Code.PITR_TARGET_BEFORE_BACKUP, found, "choose a later moment, or restore a kept backup")
    if target > latest:
        return failed(WINDOW, Code.PITR_TARGET_UNREACHED, found, "choose an earlier moment, or wait for the log")
    return passed(WINDOW, found)
