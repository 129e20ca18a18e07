"""What recovery took, against what the target wants of it."""

from runbooks.engine.findings import Result
from runbooks.engine.run import Run


def judge(run: Run, *, rto_seconds: float, rpo_seconds: float | None) -> None:
    """Note both, and a fault where one misses its objective.

    Args:
        run: this one.
        rto_seconds: from the call to the first write that was acknowledged.
        rpo_seconds: how much of the newest writes is lost; None when nobody can say.
    """
    run.measured(rto_seconds=rto_seconds, rpo_seconds=rpo_seconds)
    wanted = run.target.objectives
    for name, found, limit in (("RTO", rto_seconds, wanted.rto_seconds), ("RPO", rpo_seconds, wanted.rpo_seconds)):
        if found is None:
            run.find(f"The {name} is at most {limit:g} s", Result.UNKNOWN, "not measured", "compare rows by hand")
            continue
        is_met = found <= limit
        action = "" if is_met else f"find out what took so long, or agree on another {name} in the target"
        run.find(f"The {name} is at most {limit:g} s", Result.OK if is_met else Result.FAULT, f"{found:.2f} s", action)
