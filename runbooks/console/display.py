"""What people see of a run while it goes on, on standard error; programs read standard output."""

import sys

from rich.console import Console
from rich.table import Table

from runbooks.engine.findings import Finding, Result
from runbooks.engine.procedure import Change, Step
from runbooks.engine.records import Ended, Record, State
from runbooks.engine.report import Verdict, verdict_of

MARKS = {Result.OK: "✓", Result.FAULT: "✗", Result.MENDED: "✓ mended", Result.UNKNOWN: "?"}
STYLES = {Result.OK: "green", Result.FAULT: "bold red", Result.MENDED: "green", Result.UNKNOWN: "yellow"}


def is_terminal() -> bool:
    """Whether somebody can type."""
    return sys.stdin is not None and sys.stdin.isatty()


class Screen:
    """A line for each step and finding, and one that moves while a step works.

    Args:
        confirmed: the instance's name when it was given on the command line; it is not asked for then.
    """

    def __init__(self, *, confirmed: str | None) -> None:
        # Without markup: names and messages may have brackets of their own.
        self._console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
        self._line = self._console.status("")
        self._confirmed = confirmed
        self._step = ""

    def began(self, step: Step, number: int, total: int) -> None:
        """A step begins."""
        self._step = f"{number}/{total} {step.title}"
        self._console.print(self._step, style="bold")
        self._line.update(self._step)
        self._line.start()

    def progress(self, text: str) -> None:
        """How far the step is."""
        self._line.update(f"{self._step}: {text}")

    def finding(self, finding: Finding) -> None:
        """A test was made."""
        self._console.print(f"  {MARKS[finding.result]} {finding.test}: {finding.found}", style=STYLES[finding.result])
        if finding.action:
            self._console.print(f"      {finding.action}")

    def ended(self, record: Record) -> None:
        """A step ended."""
        self._line.stop()
        if record.state is not State.DONE:
            self._console.print(f"  {record.state.value}: {record.message}", style="bold red")

    def confirm(self, step: Step, instance: str) -> bool:
        """Ask for the instance's name, unless it was given. Without a terminal nobody can type it."""
        if self._confirmed is not None:
            return self._confirmed == instance
        if not is_terminal():
            return False
        self._line.stop()
        self._console.print(f"This step may destroy: {', '.join(step.changes)}", style="bold red")
        self._console.print(f"Type the name of the instance to go on ({instance}): ", end="")
        # Not `input`, which a Ctrl-D makes an error, and which may leave the terminal as nobody can use it.
        typed = sys.stdin.readline()
        self._line.start()
        return typed.strip() == instance

    def interrupted(self) -> None:
        """A signal ends the process."""
        self._line.stop()
        self._console.print("\nInterrupted. To go on: holdfast runbook resume RUN; which: holdfast runbook history")

    def plan(self, plan: list[tuple[Step, Change]]) -> None:
        """What each step would do."""
        table = Table("", "step", "now", "then", title="Nothing was changed")
        for number, (step, change) in enumerate(plan, 1):
            table.add_row(
                str(number), f"{step.title}{' (destroys)' if step.destroys else ''}", change.before, change.after
            )
        self._console.print(table)

    def end(self, ended: Ended, report: str) -> None:
        """How it ended, and what to do next."""
        verdict = verdict_of(ended)
        style = "bold green" if verdict is Verdict.DONE else "bold red"
        self._console.print(f"{ended.procedure}: {verdict.name.lower()}", style=style)
        if ended.message:
            self._console.print(ended.message)
        for line in ended.left_to_do:
            self._console.print(f"→ {line}")
        self._console.print(f"The report: {report}")
        if verdict in (Verdict.FAILED, Verdict.DECLINED) or (verdict is Verdict.REFUSED and ended.records):
            self._console.print(f"To go on after the cause is mended: holdfast runbook resume {ended.run}")
