"""Backfill jobs: who may work on what, how far it is, and each refusal told apart."""

import asyncio
import datetime as dt
import uuid
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from runtime.db.pool import Database
from runtime.fields import INT4_MAX
from runtime.problems import IllegalTransition, NotFound, Problem
from runtime.systems.utxoiq import problems, schemas, service
from runtime.systems.utxoiq.vocabulary import JobStatus
from tests.conftest import TestDatabase

# Bitcoin's third and fourth halving.
FIRST, LAST = 630_000, 840_000


class Backfill:
    """The service as a worker calls it, one transaction a call."""

    def __init__(self, db: Database, database: TestDatabase) -> None:
        self._db = db
        self._database = database

    async def start(
        self, first: int = 0, last: int = 9, job_type: str = "blocks", **fields: Any
    ) -> schemas.BackfillJob:
        made = await self._db.write(
            lambda tx: service.start_backfill(tx, job_type=job_type, start_block=first, end_block=last, **fields)
        )
        return made.read()

    async def claim(self, worker: str = "w'1", job_type: str | None = None, lease: int = 60) -> schemas.ClaimedJob:
        claimed = await self.try_claim(worker, job_type, lease)
        assert claimed is not None
        return claimed

    async def try_claim(
        self, worker: str = "w'1", job_type: str | None = None, lease: int = 60
    ) -> schemas.ClaimedJob | None:
        claimed = await self._db.write(
            lambda tx: service.claim_backfill(tx, worker=worker, job_type=job_type, lease_seconds=lease)
        )
        return claimed.read() if claimed else None

    async def report(
        self, job: schemas.BackfillJob, block: int, token: int = 1, lease: int = 60
    ) -> schemas.BackfillJob:
        done = await self._db.write(
            lambda tx: service.report_progress(
                tx, job_id=job.id, current_block=block, fencing_token=token, lease_seconds=lease
            )
        )
        return done.read()

    async def pause(self, job: schemas.BackfillJob) -> schemas.BackfillJob:
        return (await self._db.write(lambda tx: service.pause_backfill(tx, job.id))).read()

    async def resume(self, job: schemas.BackfillJob) -> schemas.BackfillJob:
        return (await self._db.write(lambda tx: service.resume_backfill(tx, job.id))).read()

    async def fail(self, job: schemas.BackfillJob, token: int | None = None, why: str = "w%y?") -> schemas.BackfillJob:
        failed = await self._db.write(
            lambda tx: service.fail_backfill(tx, job.id, error_message=why, fencing_token=token)
        )
        return failed.read()

    async def get(self, job: schemas.BackfillJob) -> schemas.BackfillJob:
        return (await service.get_backfill(self._db, job.id)).read()

    def expire(self, job: schemas.BackfillJob) -> None:
        """Let the lease's time pass: only the clock can, or a superuser."""
        self.set(job, "lease_expires_at = now() - interval '1 millisecond'")

    def set(self, job: schemas.BackfillJob, assignment: str) -> None:
        engine = self._database.engine()
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE backfill_jobs SET {assignment} WHERE id = :id"), {"id": job.id})
        engine.dispose()


@pytest.fixture
def backfill(db: Database, database: TestDatabase) -> Backfill:
    return Backfill(db, database)


async def test_a_new_job_has_finished_nothing_and_waits_for_a_worker(backfill: Backfill) -> None:
    job = await backfill.start(FIRST, LAST, created_by='o\'brien "%s"')
    assert (job.start_block, job.end_block, job.current_block) == (FIRST, LAST, FIRST - 1)
    assert (job.status, job.progress_percentage, job.estimated_completion) == (JobStatus.RUNNING, 0.0, None)
    assert (job.lease_owner, job.lease_expires_at, job.attempt) == (None, None, 0)
    assert job.created_by == 'o\'brien "%s"'
    assert await backfill.get(job) == job


async def test_a_job_from_the_genesis_block_begins_before_it(backfill: Backfill) -> None:
    job = await backfill.start(0, 3)
    claimed = await backfill.claim()
    assert (job.current_block, claimed.resume_block) == (-1, 0)
    assert (await backfill.report(job, -1)).progress_percentage == 0
    assert (await backfill.report(job, 0)).progress_percentage == 25


async def test_claiming_leases_the_oldest_waiting_job_of_the_type(backfill: Backfill) -> None:
    blocks = await backfill.start(job_type="blocks")
    transactions = await backfill.start(job_type="transac%ions")
    second = await backfill.start(job_type="blocks")
    before = dt.datetime.now(dt.UTC)
    claimed = await backfill.claim("worker ü", "transac%ions", lease=30)
    assert (claimed.id, claimed.lease_owner) == (transactions.id, "worker ü")
    assert (claimed.fencing_token, claimed.attempt, claimed.resume_block) == (1, 1, 0)
    assert claimed.lease_expires_at is not None
    assert dt.timedelta(seconds=29) < claimed.lease_expires_at - before < dt.timedelta(seconds=40)
    assert await backfill.try_claim(job_type="transac%ions") is None
    assert [(await backfill.claim()).id, (await backfill.claim()).id] == [blocks.id, second.id]
    assert await backfill.try_claim() is None


async def test_many_workers_at_once_get_each_job_exactly_once(backfill: Backfill) -> None:
    jobs = {(await backfill.start(n, n + 5)).id for n in range(12)}
    claims = await asyncio.gather(*(backfill.try_claim(f"worker-{n}") for n in range(40)))
    given = Counter(claim.id for claim in claims if claim is not None)
    assert given == dict.fromkeys(jobs, 1)
    assert len({claim.lease_owner for claim in claims if claim}) == len(jobs)


async def test_an_expired_lease_goes_to_one_of_many_workers(backfill: Backfill) -> None:
    job = await backfill.start()
    await backfill.claim("dead")
    backfill.expire(job)
    claims = await asyncio.gather(*(backfill.try_claim(f"worker-{n}") for n in range(10)))
    winners = [claim for claim in claims if claim is not None]
    assert [(winner.fencing_token, winner.attempt) for winner in winners] == [(2, 2)]


async def test_an_expired_lease_is_taken_over_after_the_last_finished_block(backfill: Backfill) -> None:
    job = await backfill.start(100, 199)
    old = await backfill.claim("old")
    await backfill.report(job, 149, old.fencing_token)
    assert await backfill.try_claim("new") is None
    backfill.expire(job)
    new = await backfill.claim("new")
    assert (new.id, new.lease_owner, new.resume_block, new.attempt) == (job.id, "new", 150, 2)
    assert new.fencing_token > old.fencing_token
    with pytest.raises(problems.ForeignToken, match="'new'"):
        await backfill.report(job, 160, old.fencing_token)
    with pytest.raises(problems.ForeignToken, match="'new'"):
        await backfill.fail(job, old.fencing_token)
    assert (await backfill.report(job, 150, new.fencing_token)).current_block == 150


async def test_a_report_renews_the_lease_and_the_percentage_follows_from_the_blocks(backfill: Backfill) -> None:
    job = await backfill.start(800_000, 840_000)
    claimed = await backfill.claim(lease=10)
    reported = await backfill.report(job, 819_999, lease=3600)
    assert reported.progress_percentage == pytest.approx(100 * 20_000 / 40_001, rel=1e-15)
    assert reported.lease_expires_at is not None
    assert claimed.lease_expires_at is not None
    assert reported.lease_expires_at - claimed.lease_expires_at > dt.timedelta(seconds=3500)
    assert reported.completed_at is None
    assert reported.estimated_completion is not None
    assert await backfill.get(job) == reported


async def test_the_estimate_goes_on_at_the_speed_so_far(backfill: Backfill) -> None:
    job = await backfill.start(0, 99)
    await backfill.claim()
    backfill.set(job, "started_at = now() - interval '100 seconds'")
    now = dt.datetime.now(dt.UTC)
    reported = await backfill.report(job, 24)
    assert reported.estimated_completion is not None
    # 25 blocks in 100 seconds, so 75 in 300.
    assert (reported.estimated_completion - now).total_seconds() == pytest.approx(300, abs=30)


async def test_the_last_block_completes_the_job_and_ends_the_lease(backfill: Backfill) -> None:
    job = await backfill.start(5, 5)
    await backfill.claim()
    done = await backfill.report(job, 5)
    assert (done.status, done.progress_percentage, done.current_block) == (JobStatus.COMPLETED, 100.0, 5)
    assert done.completed_at is not None
    assert (done.lease_owner, done.lease_expires_at) == (None, None)
    assert await backfill.try_claim() is None


async def test_the_same_report_may_come_twice(backfill: Backfill) -> None:
    job = await backfill.start(0, 9)
    await backfill.claim()
    first, second = await backfill.report(job, 4), await backfill.report(job, 4)
    assert (first.current_block, second.current_block, second.status) == (4, 4, JobStatus.RUNNING)
    completed = await backfill.report(job, 9)
    assert await backfill.report(job, 9) == completed
    for block, token in ((8, 1), (9, 2), (10, 1)):
        with pytest.raises(problems.JobNotRunning, match="is completed"):
            await backfill.report(job, block, token)


async def test_the_widest_range_of_blocks_can_be_counted_and_estimated(backfill: Backfill) -> None:
    job = await backfill.start(0, INT4_MAX)
    await backfill.claim()
    backfill.set(job, "started_at = '2009-01-03'")
    reported = await backfill.report(job, 0)
    assert reported.progress_percentage == pytest.approx(100 / 2**31, rel=1e-12)
    assert reported.estimated_completion is not None
    assert reported.estimated_completion < dt.datetime.now(dt.UTC) + dt.timedelta(days=101 * 366)
    assert (await backfill.report(job, INT4_MAX)).progress_percentage == 100
    edge = await backfill.start(INT4_MAX, INT4_MAX)
    assert edge.current_block == INT4_MAX - 1


# What happened to a job of the blocks 10 to 19, of which 13 is done; the report; how it is refused.
REFUSALS: list[tuple[str, int, int, type[Problem], str]] = [
    ("nothing", 12, 1, problems.ProgressRegression, "^current_block: 12 is before 13"),
    ("nothing", 8, 1, problems.BlockOutOfRange, "^current_block: 8 is outside .* 10 to 19$"),
    ("nothing", 20, 1, problems.BlockOutOfRange, "^current_block: 20 is outside .* 10 to 19$"),
    ("nothing", 15, 2, problems.ForeignToken, "^fencing_token: 2 "),
    ("expire", 15, 1, problems.LeaseExpired, "claim it again"),
    ("pause", 15, 1, problems.JobNotRunning, "is paused"),
    ("pause and resume", 15, 1, problems.LeaseExpired, "claim it again"),
    ("fail", 15, 1, problems.JobNotRunning, "is failed"),
]


async def test_each_report_that_does_not_fit_is_refused_for_its_own_reason(
    backfill: Backfill, subtests: pytest.Subtests
) -> None:
    for happened, block, token, kind, message in REFUSALS:
        with subtests.test(happened=happened, block=block, token=token):
            job = await backfill.start(10, 19, f"{happened} {block} {token}")
            await backfill.claim(job_type=job.job_type)
            await backfill.report(job, 13)
            await befall(backfill, job, happened)
            with pytest.raises(kind, match=message):
                await backfill.report(job, block, token)
            after = await backfill.get(job)
            assert (after.current_block, after.progress_percentage) == (13, 40.0)
    with pytest.raises(NotFound, match="does not exist"):
        await backfill.report(job.model_copy(update={"id": uuid.uuid4()}), 15)


async def befall(backfill: Backfill, job: schemas.BackfillJob, happened: str) -> None:
    if happened == "expire":
        backfill.expire(job)
    if happened.startswith("pause"):
        await backfill.pause(job)
    if happened.endswith("resume"):
        await backfill.resume(job)
    if happened == "fail":
        await backfill.fail(job, 1)


async def test_the_code_of_each_refusal_is_its_own() -> None:
    kinds = {
        problems.BlockOutOfRange,
        problems.ProgressRegression,
        problems.LeaseExpired,
        problems.ForeignToken,
        problems.JobNotRunning,
        problems.JobLeased,
        NotFound,
        IllegalTransition,
    }
    assert len({kind.code for kind in kinds}) == len({kind.title for kind in kinds}) == len(kinds)


async def test_reports_at_once_never_move_a_job_back(backfill: Backfill) -> None:
    job = await backfill.start(0, 99)
    await backfill.claim()
    blocks = [(7 * n) % 99 for n in range(30)]
    await asyncio.gather(*(backfill.report(job, block) for block in blocks), return_exceptions=True)
    assert (await backfill.get(job)).current_block == max(blocks)


async def test_a_paused_job_is_not_claimable_until_resumed_and_goes_on_where_it_was(backfill: Backfill) -> None:
    job = await backfill.start(0, 9)
    await backfill.claim()
    await backfill.report(job, 3)
    paused = await backfill.pause(job)
    assert (paused.status, paused.lease_owner, paused.current_block) == (JobStatus.PAUSED, None, 3)
    assert await backfill.pause(job) == paused
    assert await backfill.try_claim() is None
    resumed = await backfill.resume(job)
    assert (resumed.status, resumed.completed_at) == (JobStatus.RUNNING, None)
    again = await backfill.claim()
    assert (again.id, again.resume_block, again.fencing_token) == (job.id, 4, 2)


async def test_resuming_a_running_job_leaves_its_lease(backfill: Backfill) -> None:
    job = await backfill.start()
    claimed = await backfill.claim()
    resumed = await backfill.resume(job)
    assert (resumed.lease_owner, resumed.lease_expires_at) == (claimed.lease_owner, claimed.lease_expires_at)
    assert (await backfill.report(job, 1)).current_block == 1


async def test_a_failed_job_says_why_and_can_be_resumed(backfill: Backfill) -> None:
    job = await backfill.start(0, 9)
    await backfill.claim()
    await backfill.report(job, 6)
    failed = await backfill.fail(job, 1, why="block 7: 'x' \\ 100% ü")
    assert (failed.status, failed.error_message, failed.lease_owner) == (
        JobStatus.FAILED,
        "block 7: 'x' \\ 100% ü",
        None,
    )
    assert failed.completed_at is not None
    resumed = await backfill.resume(job)
    assert (resumed.error_message, resumed.completed_at, resumed.status) == (None, None, JobStatus.RUNNING)
    assert (await backfill.claim()).resume_block == 7


async def test_whoever_may_not_fail_a_job_is_told_why_and_it_goes_on(backfill: Backfill) -> None:
    job = await backfill.start()
    claimed = await backfill.claim("holder")
    with pytest.raises(problems.JobLeased, match="'holder' holds"):
        await backfill.fail(job)
    with pytest.raises(problems.ForeignToken):
        await backfill.fail(job, claimed.fencing_token + 1)
    assert (await backfill.report(job, 1)).status is JobStatus.RUNNING


async def test_a_job_that_nobody_holds_can_be_failed_by_an_operator(backfill: Backfill) -> None:
    waiting, paused, expired = [await backfill.start(job_type=name) for name in ("waiting", "paused", "expired")]
    await backfill.pause(paused)
    await backfill.claim(job_type="expired")
    backfill.expire(expired)
    for job in (waiting, paused, expired):
        assert (await backfill.fail(job)).status is JobStatus.FAILED


async def test_what_has_ended_is_neither_paused_nor_failed_nor_resumed(backfill: Backfill) -> None:
    completed, failed = await backfill.start(0, 0, "completed"), await backfill.start(0, 0, "failed")
    await backfill.claim(job_type="completed")
    await backfill.report(completed, 0)
    await backfill.fail(failed)
    for job in (completed, failed):
        before = await backfill.get(job)
        with pytest.raises(problems.JobNotRunning, match=f"is {job.job_type}"):
            await backfill.pause(job)
        with pytest.raises(problems.JobNotRunning, match=f"is {job.job_type} already"):
            await backfill.fail(job, why="another reason")
        assert await backfill.get(job) == before
    with pytest.raises(IllegalTransition, match="is completed; start a new one"):
        await backfill.resume(completed)
    unknown = completed.model_copy(update={"id": uuid.uuid4()})
    for act in (backfill.pause, backfill.fail, backfill.resume, backfill.get):
        with pytest.raises(NotFound, match=str(unknown.id)):
            await act(unknown)


async def test_failed_jobs_since_a_time(db: Database, backfill: Backfill) -> None:
    jobs = [await backfill.start(job_type=f"job-{n}") for n in range(4)]
    for job in jobs[:3]:
        await backfill.fail(job)
    since = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    for job, moment in zip(jobs, ("2026-02-28 23:59:59.999999", "2026-03-01", "2026-03-02", "2026-03-03"), strict=True):
        backfill.set(job, f"started_at = '{moment}+00'")
    found = await service.get_backfills(db, status=JobStatus.FAILED, since=since)
    assert [job.job_type for job in found] == ["job-2", "job-1"]
    assert [job.job_type for job in await service.get_backfills(db, status=JobStatus.RUNNING)] == ["job-3"]
    assert [job.job_type for job in await service.get_backfills(db, job_type="job-0")] == ["job-0"]
    assert (await service.get_backfills(db)).count == 4
