"""What a run leaves: a verdict in JSON for programs, a report in Markdown for people."""

import json
from enum import IntEnum
from pathlib import Path
from typing import Any

from runbooks.engine.findings import Finding, Result
from runbooks.engine.records import Ended, State
from runbooks.local.files import write_private


class Verdict(IntEnum):
    """How a run ended, by the exit code of its command. 2 is the command line's own, for what it cannot read."""

    DONE = 0
    FAILED = 1
    # A precondition does not hold; nothing was changed.
    REFUSED = 3
    # The name was not typed.
    DECLINED = 4
    # It ran to its end, and found what is wrong.
    FAULTS = 5
    # It ran to its end, and a test could not be made: not a pass.
    INCOMPLETE = 6


STATES = {State.FAILED: Verdict.FAILED, State.REFUSED: Verdict.REFUSED, State.DECLINED: Verdict.DECLINED}


def verdict_of(ended: Ended) -> Verdict:
    """How it ended."""
    if ended.state is not State.DONE:
        return STATES[ended.state]
    results = {finding.result for finding in findings_of(ended)}
    if Result.FAULT in results:
        return Verdict.FAULTS
    return Verdict.INCOMPLETE if Result.UNKNOWN in results else Verdict.DONE


def findings_of(ended: Ended) -> list[Finding]:
    """All findings in order; their numbers are their places, from 1."""
    return [*ended.findings, *(finding for record in ended.records for finding in record.findings)]


def open_findings(ended: Ended) -> list[Finding]:
    """The findings that leave something open: faults, and tests that could not be made."""
    return [finding for finding in findings_of(ended) if finding.result in (Result.FAULT, Result.UNKNOWN)]


def document(ended: Ended) -> dict[str, Any]:
    """The verdict."""
    return {
        "run": ended.run,
        "procedure": ended.procedure,
        "target": ended.target.name,
        "instance": ended.target.instance,
        "inputs": ended.inputs,
        "verdict": verdict_of(ended).name.lower(),
        "message": ended.message,
        "started_at": ended.started_at.isoformat(),
        "ended_at": ended.ended_at.isoformat(),
        "duration_s": round((ended.ended_at - ended.started_at).total_seconds(), 3),
        "rto_s": _measure(ended, "rto_seconds"),
        "rpo_s": _measure(ended, "rpo_seconds"),
        "findings": [
            {"number": number, **finding.model_dump(mode="json")}
            for number, finding in enumerate(findings_of(ended), 1)
        ],
        "steps": [
            {
                "name": record.step,
                "state": record.state.value,
                "duration_s": round(record.seconds, 3),
                "code": record.code,
                "output": record.output,
            }
            for record in ended.records
        ],
        "left_to_do": list(ended.left_to_do),
    }


def page(ended: Ended) -> str:
    """The report."""
    verdict = document(ended)
    lines = [
        f"# {ended.procedure} on {ended.target.name}: {verdict['verdict']}",
        "",
        *([ended.message, ""] if ended.message else []),
        "| | |",
        "| --- | --- |",
        f"| run | `{ended.run}` |",
        f"| instance | `{ended.target.project}:{ended.target.instance}` |",
        f"| asked | {_inline(ended.inputs)} |",
        f"| began | {verdict['started_at']} |",
        f"| took | {verdict['duration_s']:.1f} s |",
        *(
            f"| {name} | {verdict[key]:.1f} s |"
            for name, key in (("RTO", "rto_s"), ("RPO", "rpo_s"))
            if verdict[key] is not None
        ),
        "",
        "## Findings",
        "",
        "| | test | result | found | action |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {number} | {_cell(one.test)} | {one.result} | {_cell(one.found)} | {_cell(one.action)} |"
            for number, one in enumerate(findings_of(ended), 1)
        ),
        "",
        "## Steps",
        "",
        "| step | | seconds |",
        "| --- | --- | --- |",
        *(f"| {step['name']} | {step['state']} | {step['duration_s']:.1f} |" for step in verdict["steps"]),
        "",
    ]
    if ended.left_to_do:
        lines += ["## Left to do", "", *(f"{number}. {line}" for number, line in enumerate(ended.left_to_do, 1)), ""]
    return "\n".join(lines)


def write(ended: Ended, folder: Path) -> Path:
    """Write both, for their owner only.

    Returns:
        The report; the verdict is beside it, as `.json`.
    """
    reports = folder / "reports"
    reports.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = reports / f"{ended.run}.md"
    write_private(path, page(ended))
    write_private(path.with_suffix(".json"), json.dumps(document(ended), indent=2) + "\n")
    return path


def _measure(ended: Ended, name: str) -> float | None:
    found = [getattr(record.measures, name) for record in ended.records]
    known = [value for value in found if value is not None]
    return round(known[-1], 3) if known else None


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _inline(inputs: dict[str, Any]) -> str:
    return ", ".join(f"{name} = `{value}`" for name, value in inputs.items() if value is not None) or "nothing more"
