"""What goes wrong with backfill jobs, each told apart."""

from runtime.problems import Conflict, InvalidInput


class BlockOutOfRange(InvalidInput):
    """current_block must lie within the job's range."""

    code = "block-out-of-range"
    title = "The block is outside the job's range"


class ProgressRegression(Conflict):
    """current_block must not be less than what was reported before."""

    code = "progress-regression"
    title = "Progress cannot go back"


class LeaseExpired(Conflict):
    """The lease ended before this arrived; claim the job again."""

    code = "lease-expired"
    title = "The lease has expired"


class ForeignToken(Conflict):
    """Another worker holds the job now; stop working on it."""

    code = "foreign-token"
    title = "The fencing token is not the job's current one"


class JobNotRunning(Conflict):
    """The job is paused, or has ended."""

    code = "job-not-running"
    title = "The job is not running"


class JobLeased(Conflict):
    """A worker is at it; only that worker can do this, with its fencing token."""

    code = "job-leased"
    title = "A worker holds the job"
