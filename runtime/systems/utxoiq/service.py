"""utxoIQ's backfill jobs: claim, lease, fencing token, progress. Functions take a transaction and never commit it."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Interval,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    insert,
    literal_column,
    null,
    select,
    update,
)

from runtime.db.documents import Document, find
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import Query, json_object
from runtime.problems import IllegalTransition, NotFound
from runtime.systems.utxoiq import problems, schemas, views
from runtime.systems.utxoiq.models import BackfillJob
from runtime.systems.utxoiq.vocabulary import JobStatus

# An estimate further away than this says nothing, and could not be stored.
LONGEST_ESTIMATE_SECONDS = 100 * 365 * 86_400

# The moment itself, not the transaction's beginning: a statement may have waited for a lock.
_NOW = func.clock_timestamp()
_KEY = BackfillJob.id == bindparam("key", type_=BackfillJob.id.type)


def _seconds(number: ColumnElement[Any]) -> ColumnElement[Any]:
    return literal_column("interval '1 second'", Interval).op("*")(number)


_LEASE_UNTIL = _NOW + _seconds(bindparam("lease_seconds", type_=Integer))
_LEASED = and_(BackfillJob.lease_expires_at.is_not(None), BackfillJob.lease_expires_at > _NOW)
_RELEASED: dict[str, Any] = {"lease_owner": null(), "lease_expires_at": null()}

_ONE = Query(select(json_object(views.JOB)).where(_KEY))
_LOCK = Query(
    select(
        BackfillJob.status,
        BackfillJob.start_block,
        BackfillJob.end_block,
        BackfillJob.current_block,
        BackfillJob.fencing_token,
        BackfillJob.lease_owner,
        _LEASED.label("leased"),
    )
    .where(_KEY)
    .with_for_update()
)
_START = Query(
    insert(BackfillJob)
    .values(
        job_type=bindparam("job_type"),
        start_block=bindparam("start_block"),
        end_block=bindparam("end_block"),
        current_block=bindparam("start_block", type_=Integer) - 1,
        created_by=bindparam("created_by"),
    )
    .returning(json_object(views.JOB))
)


def _claim(*, by_type: bool) -> Query:
    free = select(BackfillJob.id).where(BackfillJob.status == JobStatus.RUNNING, ~_LEASED)
    if by_type:
        free = free.where(BackfillJob.job_type == bindparam("job_type", type_=BackfillJob.job_type.type))
    # Whoever comes at the same time skips the row that is being claimed, and takes the next.
    oldest = free.order_by(BackfillJob.started_at, BackfillJob.id).limit(1).with_for_update(skip_locked=True)
    return Query(
        update(BackfillJob)
        .where(BackfillJob.id == oldest.scalar_subquery())
        .values(
            lease_owner=bindparam("worker"),
            lease_expires_at=_LEASE_UNTIL,
            fencing_token=BackfillJob.fencing_token + 1,
            attempt=BackfillJob.attempt + 1,
        )
        .returning(json_object(views.CLAIMED_JOB))
    )


_CLAIM = {by_type: _claim(by_type=by_type) for by_type in (False, True)}


def _progress() -> Query:
    block = bindparam("current_block", type_=Integer)
    is_last = block == BackfillJob.end_block
    done = cast(block, Float) - BackfillJob.start_block + 1
    left = cast(BackfillJob.end_block, Float) - block
    elapsed = cast(extract("epoch", _NOW - BackfillJob.started_at), Float)
    seconds = func.least(elapsed * left / func.nullif(done, 0, type_=Float), LONGEST_ESTIMATE_SECONDS, type_=Float)
    return Query(
        update(BackfillJob)
        .where(
            _KEY,
            BackfillJob.status == JobStatus.RUNNING,
            BackfillJob.fencing_token == bindparam("fencing_token", type_=BackfillJob.fencing_token.type),
            _LEASED,
            block.between(BackfillJob.current_block, BackfillJob.end_block),
        )
        .values(
            current_block=block,
            status=case((is_last, JobStatus.COMPLETED), else_=BackfillJob.status),
            completed_at=case((is_last, _NOW), else_=null()),
            lease_owner=case((is_last, null()), else_=BackfillJob.lease_owner),
            lease_expires_at=case((is_last, null()), else_=_LEASE_UNTIL),
            # Null until the first block is done.
            estimated_completion=case((done > 0, _NOW + _seconds(seconds)), else_=null()),
        )
        .returning(json_object(views.JOB))
    )


_PROGRESS = _progress()


def _set_status(**values: Any) -> Query:
    return Query(update(BackfillJob).where(_KEY).values(**values, **_RELEASED).returning(json_object(views.JOB)))


_PAUSE = _set_status(status=JobStatus.PAUSED)
_RESUME = _set_status(status=JobStatus.RUNNING, completed_at=null(), error_message=null())
_FAIL = _set_status(status=JobStatus.FAILED, completed_at=_NOW, error_message=bindparam("error_message"))


async def start_backfill(
    tx: Transaction, *, job_type: str, start_block: int, end_block: int, created_by: str | None = None
) -> Document[schemas.BackfillJob]:
    """Create a job over a range of blocks, both ends included. It is claimable at once."""
    row = await tx.value(_START, job_type=job_type, start_block=start_block, end_block=end_block, created_by=created_by)
    return Document(row, schemas.BackfillJob)


async def claim_backfill(
    tx: Transaction, *, worker: str, job_type: str | None = None, lease_seconds: int
) -> Document[schemas.ClaimedJob] | None:
    """Lease the oldest running job that nobody holds.

    Args:
        tx: the transaction.
        worker: the lease's owner.
        job_type: only jobs of this type.
        lease_seconds: how long nobody else may claim the job.

    Returns:
        None when there is none.
    """
    row = await tx.value(_CLAIM[job_type is not None], worker=worker, job_type=job_type, lease_seconds=lease_seconds)
    return Document(row, schemas.ClaimedJob) if row else None


async def report_progress(
    tx: Transaction, *, job_id: uuid.UUID, current_block: int, fencing_token: int, lease_seconds: int
) -> Document[schemas.BackfillJob]:
    """Record the last finished block and renew the lease; at end_block the job is completed.

    The same report may come twice: the second changes nothing but the lease.

    Raises:
        NotFound: there is no such job.
        JobNotRunning: it is paused, or has ended.
        ForeignToken: another worker has claimed it since.
        LeaseExpired: the lease ended before this arrived.
        BlockOutOfRange: the block is not one of the job's.
        ProgressRegression: a later block was reported before.
    """
    row = await tx.value(
        _PROGRESS, key=job_id, current_block=current_block, fencing_token=fencing_token, lease_seconds=lease_seconds
    )
    if row is None:
        await _refuse_progress(tx, job_id, current_block, fencing_token)
        return await get_backfill(tx, job_id)
    return Document(row, schemas.BackfillJob)


async def _refuse_progress(tx: Transaction, job_id: uuid.UUID, current_block: int, fencing_token: int) -> None:
    """Say why a report does not fit; a completed job may hear its last report again."""
    job = await _lock(tx, job_id)
    status, token = job["status"], job["fencing_token"]
    if status == JobStatus.COMPLETED and token == fencing_token and current_block == job["end_block"]:
        return
    if status != JobStatus.RUNNING:
        message = f"job {job_id} is {status}; only a running job makes progress"
        raise problems.JobNotRunning(message)
    if token != fencing_token:
        message = (
            f"fencing_token: {fencing_token} is not the current one; the job was claimed by {job['lease_owner']!r}"
        )
        raise problems.ForeignToken(message)
    if not job["leased"]:
        message = f"the lease on job {job_id} has expired; claim it again and go on from its resume_block"
        raise problems.LeaseExpired(message)
    if not job["start_block"] - 1 <= current_block <= job["end_block"]:
        message = f"{current_block} is outside the job's blocks, {job['start_block']} to {job['end_block']}"
        raise problems.BlockOutOfRange.of(field="current_block", message=message)
    message = f"current_block: {current_block} is before {job['current_block']}, which was reported already"
    raise problems.ProgressRegression(message)


async def pause_backfill(tx: Transaction, job_id: uuid.UUID) -> Document[schemas.BackfillJob]:
    """Stop a running job; its worker's next report is refused.

    Raises:
        NotFound: there is no such job.
        JobNotRunning: it has ended.
    """
    job = await _lock(tx, job_id)
    if job["status"] not in {JobStatus.RUNNING, JobStatus.PAUSED}:
        message = f"job {job_id} is {job['status']}; only a running job can be paused"
        raise problems.JobNotRunning(message)
    return Document(await tx.value(_PAUSE, key=job_id), schemas.BackfillJob)


async def resume_backfill(tx: Transaction, job_id: uuid.UUID) -> Document[schemas.BackfillJob]:
    """Make a paused or failed job claimable again, from its last finished block on.

    Raises:
        NotFound: there is no such job.
        IllegalTransition: it is completed.
    """
    job = await _lock(tx, job_id)
    if job["status"] == JobStatus.COMPLETED:
        message = f"job {job_id} is completed; start a new one"
        raise IllegalTransition(message)
    if job["status"] == JobStatus.RUNNING:
        return await get_backfill(tx, job_id)
    return Document(await tx.value(_RESUME, key=job_id), schemas.BackfillJob)


async def fail_backfill(
    tx: Transaction, job_id: uuid.UUID, *, error_message: str, fencing_token: int | None = None
) -> Document[schemas.BackfillJob]:
    """End a job that cannot go on. While a worker holds it, only that worker may say so.

    Raises:
        NotFound: there is no such job.
        JobNotRunning: it has ended.
        JobLeased: a worker holds it, and no token was given.
        ForeignToken: another worker has claimed it since.
    """
    job = await _lock(tx, job_id)
    if job["status"] not in {JobStatus.RUNNING, JobStatus.PAUSED}:
        message = f"job {job_id} is {job['status']} already"
        raise problems.JobNotRunning(message)
    if fencing_token is not None and fencing_token != job["fencing_token"]:
        message = (
            f"fencing_token: {fencing_token} is not the current one; the job was claimed by {job['lease_owner']!r}"
        )
        raise problems.ForeignToken(message)
    if fencing_token is None and job["leased"]:
        message = f"worker {job['lease_owner']!r} holds job {job_id}; send its fencing_token, or pause the job first"
        raise problems.JobLeased(message)
    return Document(await tx.value(_FAIL, key=job_id, error_message=error_message), schemas.BackfillJob)


async def get_backfill(db: Executor, job_id: uuid.UUID) -> Document[schemas.BackfillJob]:
    """One job.

    Raises:
        NotFound: there is no such job.
    """
    return await find(db, _ONE, schemas.BackfillJob, name="job", key=job_id)


async def get_backfills(
    db: Executor,
    *,
    status: JobStatus | None = None,
    job_type: str | None = None,
    since: dt.datetime | None = None,
    limit: int = 100,
    after: Key | None = None,
) -> Page[schemas.BackfillJob]:
    """A page of jobs, newest first."""
    return await views.JOBS.page(db, limit=limit, after=after, status=status, job_type=job_type, since=since)


async def _lock(tx: Transaction, job_id: uuid.UUID) -> Any:
    row = await tx.row(_LOCK, key=job_id)
    if row is None:
        message = f"job {str(job_id)!r} does not exist"
        raise NotFound(message)
    return row
