"""The words that utxoIQ's columns may hold, and the widths of its identifiers."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Of a backfill job."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PAUSED = "paused"


class FlagType(StrEnum):
    """What a user holds against an insight."""

    INACCURATE = "inaccurate"
    MISLEADING = "misleading"
    SPAM = "spam"


class Interval(StrEnum):
    """The width of an aggregate's buckets."""

    HOUR = "hour"
    DAY = "day"
