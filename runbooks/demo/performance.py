"""All parts of the demonstration, one after the other."""

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runbooks.demo import backfill, campaign, feedback, machine
from runbooks.demo.client import ApiClient
from runbooks.demo.comparison import Verdict
from runbooks.demo.target import Target
from runbooks.demo.users import users
from runbooks.demo.worker import BACKFILL
from runtime.systems.utxoiq import schemas

ONE_USER = "With --key only that key's user gives feedback: making other users needs the platform's own database."


def perform(target: Target, *, seconds: float) -> Verdict:
    """Put everything in, read everything back, and compare.

    Args:
        target: the platform.
        seconds: how long this machine is sampled.

    Raises:
        DemoError: the platform does not answer, or refuses.
    """
    beginning, run = time.monotonic(), f"demo-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        client = stack.enter_context(ApiClient(target.url, target.key))
        # A wrong address or key shows before anything is sampled.
        client.get(schemas.BackfillList, f"{BACKFILL}/status", limit=1)
        keys, notes = [target.key], []
        if target.settings is not None:
            issued = stack.enter_context(users(target.settings, run=run, count=len(feedback.OPINIONS)))
            keys = [key.key for key in issued]
        else:
            notes.append(ONE_USER)
        part = _progress(stack)
        claims = machine.compare_machine(
            client, run, seconds=seconds, advance=part("this machine, sampled", machine.samples(seconds))
        )
        claims += backfill.compare_backfill(
            client, run, key=target.key, advance=part("backfill, two workers", backfill.STEPS)
        )
        found, note = campaign.compare_campaign(client, run, advance=part("Branin, evaluated", campaign.STEPS))
        claims += found
        calls = len(keys) * feedback.CALLS_A_USER
        claims += feedback.compare_feedback(target.url, keys, run, advance=part("feedback, all at once", calls))
    return Verdict(run, target.url, time.monotonic() - beginning, claims, [note, *notes])


def _progress(stack: ExitStack) -> Callable[[str, int], Callable[[], None]]:
    """A line for each part, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = stack.enter_context(Progress(*columns, console=Console(stderr=True)))

    def part(name: str, steps: int) -> Callable[[], None]:
        task = progress.add_task(name, total=steps)
        return lambda: progress.advance(task)

    return part
