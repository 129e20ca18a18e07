"""Backfill jobs: start, claim, report, pause, resume, fail, look."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from runtime.api.caching import cached
from runtime.api.context import CREATED, ListCall, audited, caller, database, json_response
from runtime.api.guard import guarded_route
from runtime.api.idempotency import NO_CONTENT, post
from runtime.db.documents import Document
from runtime.db.pool import Transaction
from runtime.problems import IllegalTransition, InvalidCursor, NotFound, documented
from runtime.systems.utxoiq import caching, examples, problems, schemas, service

router = APIRouter(prefix="/api/v1/monitoring/backfill", tags=["utxoIQ backfill"], route_class=guarded_route("utxoiq"))

JobId = Annotated[uuid.UUID, Path(examples=["019bc1f2-5b1c-7d52-9d4e-0a9c5c0f7a11"])]


@router.post(
    "/start",
    status_code=CREATED,
    responses=documented(schemas.BackfillJob, examples.RESUMED_JOB, status=CREATED),
)
async def start(request: Request, body: schemas.BackfillStart) -> Response:
    """Create a job over a range of blocks; the caller becomes created_by."""

    async def work(tx: Transaction) -> Document[schemas.BackfillJob]:
        job = await service.start_backfill(tx, created_by=caller(request).subject, **body.model_dump())
        await audited(request, tx, action="backfill.start", kind="backfill_job", ident=str(job.read().id))
        return job

    return await post(request, work, caching.ALL_JOBS, status=CREATED)


@router.post(
    "/claim",
    responses={
        NO_CONTENT: {"description": "No job is waiting: all are leased, paused or ended."},
        **documented(schemas.ClaimedJob, examples.CLAIMED_JOB),
    },
)
async def claim(request: Request, body: schemas.BackfillClaim) -> Response:
    """Lease the oldest job that nobody holds, and go on from its `resume_block`."""

    async def work(tx: Transaction) -> Document[schemas.ClaimedJob] | None:
        job = await service.claim_backfill(tx, **body.model_dump())
        if job is None:
            return None
        claimed = job.read()
        detail = {"worker": claimed.lease_owner, "attempt": claimed.attempt}
        await audited(request, tx, action="backfill.claim", kind="backfill_job", ident=str(claimed.id), detail=detail)
        return job

    return await post(request, work, caching.ALL_JOBS, caching.CLAIMS)


@router.post(
    "/progress",
    responses=documented(
        schemas.BackfillJob,
        examples.JOB,
        NotFound,
        problems.BlockOutOfRange,
        problems.ProgressRegression,
        problems.LeaseExpired,
        problems.ForeignToken,
        problems.JobNotRunning,
    ),
)
async def progress(request: Request, body: schemas.BackfillProgress) -> Response:
    """Report the last finished block and renew the lease; at end_block the job is completed."""
    return await post(
        request,
        lambda tx: service.report_progress(tx, **body.model_dump()),
        caching.of_job(body.job_id),
        caching.ALL_JOBS,
        idempotent=True,
    )


@router.get(
    "/status",
    responses=documented(schemas.BackfillList, examples.JOBS, InvalidCursor),
)
async def status(request: Request, asked: Annotated[schemas.BackfillFilter, Query()]) -> Response:
    """List jobs, newest first; `status=failed&since=…` shows what failed of late."""
    filters = asked.model_dump(exclude={"limit", "cursor"})
    call = ListCall(request, "backfill_jobs", asked.cursor, **filters)

    async def read() -> Response:
        page = await service.get_backfills(database(request), limit=asked.limit, after=call.after, **filters)
        return call.response(page, items="jobs")

    return await cached(request, caching.jobs(**asked.model_dump()), read)


@router.get("/{job_id}", responses=documented(schemas.BackfillJob, examples.JOB, NotFound))
async def get(request: Request, job_id: JobId) -> Response:
    """Show a job."""

    async def read() -> Response:
        return json_response((await service.get_backfill(database(request), job_id)).json)

    return await cached(request, caching.job(job_id), read)


@router.post(
    "/{job_id}/pause",
    responses=documented(schemas.BackfillJob, examples.PAUSED_JOB, NotFound, problems.JobNotRunning),
)
async def pause(request: Request, job_id: JobId) -> Response:
    """Stop a running job and end its lease; its worker's next report is refused."""

    async def work(tx: Transaction) -> Document[schemas.BackfillJob]:
        job = await service.pause_backfill(tx, job_id)
        await audited(request, tx, action="backfill.pause", kind="backfill_job", ident=str(job_id))
        return job

    return await post(request, work, caching.of_job(job_id), caching.ALL_JOBS, idempotent=True)


@router.post(
    "/{job_id}/resume",
    responses=documented(schemas.BackfillJob, examples.RESUMED_JOB, NotFound, IllegalTransition),
)
async def resume(request: Request, job_id: JobId) -> Response:
    """Make a paused or failed job claimable again, from its last finished block on."""

    async def work(tx: Transaction) -> Document[schemas.BackfillJob]:
        job = await service.resume_backfill(tx, job_id)
        await audited(request, tx, action="backfill.resume", kind="backfill_job", ident=str(job_id))
        return job

    return await post(request, work, caching.of_job(job_id), caching.ALL_JOBS, idempotent=True)


@router.post(
    "/{job_id}/fail",
    responses=documented(
        schemas.BackfillJob,
        examples.FAILED_JOB,
        NotFound,
        problems.JobNotRunning,
        problems.JobLeased,
        problems.ForeignToken,
    ),
)
async def fail(request: Request, job_id: JobId, body: schemas.BackfillFail) -> Response:
    """End a job that cannot go on, with the reason."""

    async def work(tx: Transaction) -> Document[schemas.BackfillJob]:
        job = await service.fail_backfill(tx, job_id, **body.model_dump())
        detail = {"error_message": body.error_message}
        await audited(request, tx, action="backfill.fail", kind="backfill_job", ident=str(job_id), detail=detail)
        return job

    return await post(request, work, caching.of_job(job_id), caching.ALL_JOBS)
