"""The procedures' pages, made from the procedures and their last rehearsal. `make docs` writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from runbooks.engine.errors import RunbookError
from runbooks.engine.procedure import Procedure, Step, first_line_of
from runbooks.procedures import PROCEDURES

ROOT = Path(__file__).parents[2]
README, FOLDER = Path("runbooks/README.md"), Path("runbooks/procedures")
# How long each took; `holdfast rehearse --all --record` writes it.
REHEARSED = FOLDER / "rehearsed.json"
BEGIN, END = "<!-- The table is made by `make docs`. -->\n", "<!-- Its end. -->\n"


def page_files(procedures: Sequence[Procedure] = PROCEDURES, root: Path = ROOT) -> dict[Path, str]:
    """The pages by their place in the checkout, and the README with its table.

    Raises:
        RunbookError: the README has no place for the table.
    """
    rehearsed = rehearsals(root)
    pages = {FOLDER / f"{one.name}.md": page(one, rehearsed.get(one.name)) for one in procedures}
    before, found_begin, rest = (root / README).read_text(encoding="utf-8").partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found_begin or not found_end:
        message = f"{README} has no lines {BEGIN.strip()} and {END.strip()} for the procedures' table"
        raise RunbookError(message)
    return {**pages, README: before + BEGIN + table(procedures, rehearsed) + END + after}


def rehearsals(root: Path = ROOT) -> dict[str, float]:
    """By procedure, how many seconds its last recorded rehearsal took."""
    path = root / REHEARSED
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def record(seconds: Mapping[str, float], root: Path = ROOT) -> None:
    """Keep how long rehearsals took."""
    known = {one.name for one in PROCEDURES}
    kept = {name: value for name, value in {**rehearsals(root), **seconds}.items() if name in known}
    (root / REHEARSED).write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n", encoding="utf-8")


def table(procedures: Sequence[Procedure], rehearsed: Mapping[str, float]) -> str:
    """All procedures, in Markdown."""
    lines = ["| procedure | | danger | may change | rehearsed in |", "| --- | --- | --- | --- | --- |"]
    for one in procedures:
        link = f"[{one.name}](procedures/{one.name}.md)"
        danger_ = "**destroys or interrupts**" if one.destroys else "changes" if one.changes else "only reads"
        changed = dict.fromkeys(change for step in one.steps for change in step.changes)
        touched = ", ".join(f"`{change}`" for change in changed) or "nothing"
        lines.append(f"| {link} | {one.title} | {danger_} | {touched} | {_seconds(rehearsed.get(one.name))} |")
    return "\n".join(lines) + "\n"


def page(procedure: Procedure, rehearsed: float | None = None) -> str:
    """One procedure's page, in Markdown.

    Args:
        procedure: which.
        rehearsed: how many seconds its last rehearsal took.
    """
    lines = [
        f"# {procedure.name}: {_lower(procedure.title)}",
        "",
        procedure.when,
        "",
        danger(procedure),
        "",
        "```sh",
        f"holdfast runbook run {procedure.name} --stack prod --dry-run{_asked(procedure)}   # shows, changes nothing",
        f"holdfast runbook run {procedure.name} --stack prod{_asked(procedure)}",
        "```",
        "",
    ]
    if procedure.inputs.model_fields:
        lines += ["| asked | |", "| --- | --- |"]
        lines += [
            f"| `{name}` | {field.description}{'' if field.is_required() else '; may be left out'} |"
            for name, field in procedure.inputs.model_fields.items()
        ]
        lines.append("")
    if procedure.preconditions:
        lines += ["Before anything is done, it refuses unless", ""]
        lines += [f"- {first_line_of(one)}" for one in procedure.preconditions]
        lines.append("")
    lines += ["| | step | may change | when it fails |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {number} | {step.title} | {_changes(step)} | {_undo(step)} |"
        for number, step in enumerate(procedure.steps, 1)
    ]
    if rehearsed is not None:
        lines += ["", f"Its last recorded rehearsal, on the sandbox, took {_seconds(rehearsed)}."]
    return "\n".join(lines) + "\n"


def danger(procedure: Procedure) -> str:
    """What it may do, in a sentence."""
    if procedure.destroys:
        return "**It destroys or interrupts**: the instance's name has to be typed before each such step."
    return "It changes something, and destroys nothing." if procedure.changes else "It only reads."


def _lower(title: str) -> str:
    # Not what begins with an abbreviation.
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _asked(procedure: Procedure) -> str:
    return "".join(f" {name}=…" for name, field in procedure.inputs.model_fields.items() if field.is_required())


def _changes(step: Step) -> str:
    return ", ".join(f"`{one}`" for one in step.changes) or "nothing"


def _undo(step: Step) -> str:
    return "; ".join(f"{code}: {first_line_of(undo)}" for code, undo in step.undo.items()) or "stops, to be resumed"
