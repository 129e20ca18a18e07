"""Commands by which recovery is known to work."""

import json
import signal
import sys
from typing import Annotated

import typer

from runtime import settings
from runtime.db.engine import make_engine
from runtime.jobs.markers import write_marker
from runtime.jobs.verification import verify_backup as run_verification
from runtime.verification.checks import Outcome, Verdict
from runtime.verification.record import Verification

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]

# 1 is the command line's, when it could not begin; the others are the runbooks' too.
EXIT_CODES = {Verdict.PASSED: 0, Verdict.FAILED: 5, Verdict.INCOMPLETE: 6}
TERMINATED = 128 + signal.SIGTERM
MARKS = {Outcome.PASSED: "ok", Outcome.FAILED: "FAILED", Outcome.UNKNOWN: "unknown"}


def recovery_marker() -> None:
    """Write a marker, by which a recovery to a moment is bracketed; forget those of 40 days ago."""
    engine = make_engine(settings.load(settings.Settings), application_name="holdfast-markers", duty="jobs")
    try:
        written, deleted = write_marker(engine)
    finally:
        engine.dispose()
    typer.echo(f"marker {written.isoformat()} written, {deleted} old ones deleted")


def verify_backup(*, as_json: AsJson = False) -> None:
    """Restore the newest backup into a throwaway instance, see that it is whole, and write the verdict down.

    Ends with 0 when it passed, 5 when something failed, 6 when a check could not be made.
    """
    # What is being done is left, and the throwaway instance deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    loaded = settings.load(settings.Settings)
    told = ""

    def tell(line: str) -> None:
        nonlocal told
        # An operation is looked at many times.
        if line != told:
            typer.echo(line, err=True)
        told = line

    verification = run_verification(loaded, progress=tell)
    typer.echo(json.dumps(verification.document()) if as_json else _page(verification))
    raise typer.Exit(EXIT_CODES[verification.verdict])


def _page(verification: Verification) -> str:
    lines = [
        f"{number:>2} {MARKS[check.outcome]:<8}{check.name}: {check.code + ': ' if check.code else ''}{check.found}"
        + (f"\n           {check.action}" if check.action else "")
        for number, check in enumerate(verification.checks, 1)
    ]
    backup = f"backup {verification.backup.id}" if verification.backup else "no backup"
    return "\n".join([*lines, f"{verification.verdict.value}: {backup} of {verification.instance}"])
