"""`python -m runbooks.demo.worker`: one of the processes that compete for a backfill job.

It says what it does on standard output, one JSON object a line. Address and key come from the environment, where no
other user of the machine sees them.
"""

import argparse
import json
import os
import sys
import time
from datetime import timedelta

from runbooks.demo.blocks import HEADER_TIMES, header_time
from runbooks.demo.client import ApiClient, RefusedError
from runbooks.demo.errors import DemoError
from runtime.systems.utxoiq import schemas

API_VARIABLE, KEY_VARIABLE = "HOLDFAST_API", "HOLDFAST_API_KEY"
BACKFILL = "/api/v1/monitoring/backfill"
METRICS = "/api/v1/monitoring/metrics"
METRIC_TYPE = "block_time"
LEASE_SECONDS = 2
# What a block costs to fetch and parse; here the time in which a worker can be interrupted.
WORK_SECONDS = 0.2
ASK_AGAIN_SECONDS = 0.1
# Nobody waits for a worker longer than this, so it does not stay behind.
LIFE_SECONDS = 60.0
# The job is another's now, or nobody's: no reason to stop working.
LOST = frozenset({"foreign-token", "lease-expired", "job-not-running"})


class Worker:
    """Claims jobs of one type and works on them.

    Args:
        client: of the API.
        name: the owner of its leases.
        run: the type of its jobs, and the service of its metrics.
    """

    def __init__(self, client: ApiClient, *, name: str, run: str) -> None:
        self._client = client
        self._name = name
        self._run = run

    def work(self) -> None:
        """Go on until a job is completed.

        Raises:
            DemoError: that took too long, or the API fails.
        """
        deadline = time.monotonic() + LIFE_SECONDS
        claim = {"worker": self._name, "job_type": self._run, "lease_seconds": LEASE_SECONDS}
        while time.monotonic() < deadline:
            job = self._client.post_for(schemas.ClaimedJob, f"{BACKFILL}/claim", claim)
            if job is None:
                time.sleep(ASK_AGAIN_SECONDS)
            elif self._run_job(job):
                return
        message = f"{self._name} completed nothing within {LIFE_SECONDS:.0f} s"
        raise DemoError(message)

    def _run_job(self, job: schemas.ClaimedJob) -> bool:
        """Whether the job was completed here."""
        say("claimed", token=job.fencing_token, resume_block=job.resume_block)
        for height in HEADER_TIMES:
            if job.resume_block <= height <= job.end_block:
                say("recorded" if self._record(height) else "found", height=height)
                time.sleep(WORK_SECONDS)
                try:
                    status = self._report(job, height)
                except RefusedError as error:
                    if error.code not in LOST:
                        raise
                    say("lost", height=height)
                    return False
                say("reported", height=height)
                if status == "completed":
                    say("completed", height=height)
                    return True
        return False

    def _record(self, height: int) -> bool:
        """Store the header's time, unless whoever held the job before did and could not report it."""
        moment = header_time(height)
        known = self._client.get(
            schemas.MetricList,
            METRICS,
            service_name=self._run,
            metric_type=METRIC_TYPE,
            start=moment.isoformat(),
            end=(moment + timedelta(microseconds=1)).isoformat(),
        )
        if known.count:
            return False
        body = {
            "service_name": self._run,
            "metric_type": METRIC_TYPE,
            "metric_value": HEADER_TIMES[height],
            "unit": "unix seconds",
            "timestamp": moment.isoformat(),
            "metric_metadata": {"height": height},
        }
        self._client.post(schemas.Metric, METRICS, body)
        return True

    def _report(self, job: schemas.ClaimedJob, height: int) -> str:
        body = {
            "job_id": str(job.id),
            "current_block": height,
            "fencing_token": job.fencing_token,
            "lease_seconds": LEASE_SECONDS,
        }
        return self._client.post(schemas.BackfillJob, f"{BACKFILL}/progress", body).status


def say(event: str, **facts: int | str) -> None:
    """Tell whoever started this process."""
    print(json.dumps({"event": event, **facts}), flush=True)  # noqa: T201  # it is a command line


def main() -> None:
    """Work on one job; an error is said too, since it is for whoever started this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="the owner of its leases")
    parser.add_argument("--run", required=True, help="the type of its jobs and the service of its metrics")
    asked = parser.parse_args()
    try:
        with ApiClient(os.environ.get(API_VARIABLE, ""), os.environ.get(KEY_VARIABLE, "")) as client:
            Worker(client, name=asked.name, run=asked.run).work()
    except DemoError as error:
        say("failed", why=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
