"""A backfill job over known Bitcoin blocks: two workers compete, one is killed, the other goes on where it stopped.

Most of these months have no partition on a new platform, and their metrics come back all the same.
"""

from collections.abc import Callable, Iterator
from datetime import datetime

from runbooks.demo.blocks import FIRST, HEADER_TIMES, LAST, header_time
from runbooks.demo.client import ApiClient, RefusedError
from runbooks.demo.comparison import Claim, rows
from runbooks.demo.crew import Crew, Event, crew_of
from runbooks.demo.worker import BACKFILL, METRIC_TYPE, METRICS
from runtime.systems.utxoiq import schemas

PART = "backfill"
STEPS = len(HEADER_TIMES)
WORKERS = ("worker-1", "worker-2")
# Killed after this block was recorded and before it is reported: the worst moment.
KILL_AT = 420_000


def compare_backfill(client: ApiClient, run: str, *, key: str, advance: Callable[[], None]) -> list[Claim]:
    """Let the workers do the job, and compare what they say with what the API says.

    Args:
        client: of the API.
        run: the type of the job and the service of its metrics; the run's own.
        key: an API key for the workers.
        advance: called for each height that is recorded.
    """
    body = {"job_type": run, "start_block": FIRST, "end_block": LAST}
    job = client.post(schemas.BackfillJob, f"{BACKFILL}/start", body)

    def listen(event: Event) -> None:
        if event.name == "recorded":
            advance()

    with crew_of(WORKERS, run=run, url=client.url, key=key, listen=listen) as crew:
        first = crew.wait("claimed")
        crew.wait("recorded", worker=first.worker, height=KILL_AT)
        crew.kill(first.worker)
        killed = _job(client, job)
        second = crew.wait("claimed")
        refusal = _refusal_of(client, job, token=first.facts["token"])
        crew.wait("completed")
    return [
        *_compare_takeover(crew, killed=killed, first=first, second=second),
        Claim(PART, "a report with the killed worker's token", "foreign-token", refusal),
        *_compare_results(client, run, crew, job=_job(client, job)),
    ]


def _job(client: ApiClient, job: schemas.BackfillJob) -> schemas.BackfillJob:
    return client.get(schemas.BackfillJob, f"{BACKFILL}/{job.id}")


def _refusal_of(client: ApiClient, job: schemas.BackfillJob, *, token: int) -> str:
    body = {"job_id": str(job.id), "current_block": LAST, "fencing_token": token}
    try:
        client.post(schemas.BackfillJob, f"{BACKFILL}/progress", body)
    except RefusedError as error:
        return error.code
    return "accepted"


def _compare_takeover(crew: Crew, *, killed: schemas.BackfillJob, first: Event, second: Event) -> list[Claim]:
    reported = _last(crew, "reported", worker=first.worker)
    other = next(name for name in WORKERS if name != first.worker)
    return [
        Claim(PART, "who held the job when killed", first.worker, killed.lease_owner),
        Claim(PART, "who took it over", other, second.worker),
        Claim(PART, "first block after the last reported one", reported + 1, second.facts["resume_block"]),
    ]


def _compare_results(client: ApiClient, run: str, crew: Crew, *, job: schemas.BackfillJob) -> list[Claim]:
    headers = [(height, float(seconds), header_time(height)) for height, seconds in HEADER_TIMES.items()]
    return [
        Claim(
            PART,
            "the job",
            {"status": "completed", "block": LAST, "percent": 100.0, "attempts": _count(crew, "claimed")},
            {
                "status": job.status.value,
                "block": job.current_block,
                "percent": job.progress_percentage,
                "attempts": job.attempt,
            },
        ),
        Claim(PART, "heights, each recorded by one worker", STEPS, _count(crew, "recorded")),
        rows(PART, "header times, 2009 to 2024", headers, _stored(client, run)),
    ]


def _last(crew: Crew, name: str, *, worker: str) -> int:
    heights = [event.facts["height"] for event in crew.heard if event.name == name and event.worker == worker]
    return heights[-1] if heights else FIRST - 1


def _count(crew: Crew, name: str) -> int:
    return sum(event.name == name for event in crew.heard)


def _stored(client: ApiClient, run: str) -> Iterator[tuple[int | None, float, datetime]]:
    for page in client.pages(schemas.MetricList, METRICS, service_name=run, metric_type=METRIC_TYPE):
        for metric in page.metrics:
            yield (metric.metric_metadata or {}).get("height"), metric.metric_value, metric.timestamp
