"""`holdfast runbook`: thin commands over the engine."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from runbooks.console.choice import Choice, chosen
from runbooks.console.display import Screen, is_terminal
from runbooks.console.interruption import ending_at_once
from runbooks.console.pages import page, rehearsals
from runbooks.engine import report
from runbooks.engine.errors import RefusedError, RunbookError, told
from runbooks.engine.execution import Execution
from runbooks.engine.journal import Entry, Journal
from runbooks.engine.procedure import Inputs, Procedure
from runbooks.engine.records import records_of
from runbooks.engine.report import Verdict
from runbooks.engine.target import Target
from runbooks.local.environment import forget_libpq_variables
from runbooks.procedures import PROCEDURES, find

State = Annotated[Path, typer.Option("--state", help="The folder of the journal and the reports.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Confirm = Annotated[
    str | None, typer.Option("--confirm", metavar="INSTANCE", help="The instance's name, typed here instead of later.")
]
Name = Annotated[str, typer.Argument(help="The procedure: holdfast runbook list.")]
OneRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run, with its steps and findings.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run: holdfast runbook history.")]
Pairs = Annotated[list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="What the procedure asks for.")]
Stack = Annotated[str | None, typer.Option(help="The Pulumi stack whose outputs are the target.")]
TargetFile = Annotated[Path | None, typer.Option("--target", help="The target, as a file.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="The environment of a sandbox that runs on this machine.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether to begin. What destroys asks all the same.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Show what each step would do, and change nothing.")]

DEFAULT_STATE = Path(".holdfast")
# As the command line's own, for what it cannot read.
USAGE = 2

app = typer.Typer(no_args_is_help=True, help="Procedures: list, show, run, resume, history.")


def register(console: typer.Typer) -> None:
    """Add the commands to `holdfast`."""
    console.add_typer(app, name="runbook")


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """The procedures."""
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {"name": one.name, "title": one.title, "destroys": one.destroys, "changes": one.changes}
                    for one in PROCEDURES
                ]
            )
        )
        return
    table = Table("procedure", "what it does", "")
    for one in PROCEDURES:
        table.add_row(one.name, one.title, "destroys" if one.destroys else "changes" if one.changes else "only reads")
    Console(markup=False, highlight=False).print(table)


@app.command()
def show(name: Name) -> None:
    """What a procedure asks, does and may touch."""
    with _readable():
        typer.echo(page(find(name), rehearsals().get(name)))


@app.command()
def run(
    name: Name,
    fields: Pairs = None,
    *,
    stack: Stack = None,
    target: TargetFile = None,
    sandbox: Sandbox = False,
    dry_run: Dry = False,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: Json = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Run a procedure.

    Exit codes: 0 done, 1 failed, 2 not understood, 3 refused and nothing changed, 4 declined, 5 faults found,
    6 incomplete: a test could not be made.
    """
    with _readable():
        procedure = find(name)
        inputs = _inputs(procedure, fields or [])
        environment = chosen(Choice(stack=stack, file=target, sandbox=sandbox))
    forget_libpq_variables()
    screen = Screen(confirmed=confirm)
    execution = Execution(procedure, environment, inputs, Journal(state), screen)
    if dry_run:
        _dry_run(execution, screen, as_json=as_json)
        return
    declined = _declined(procedure, environment, yes=yes, confirm=confirm)
    if declined:
        _end_early(Verdict.DECLINED, f"{declined}; nothing was done", as_json=as_json)
    _go(execution, None, screen, state, as_json=as_json)


@app.command()
def resume(*, run_id: RunId, confirm: Confirm = None, as_json: Json = False, state: State = DEFAULT_STATE) -> None:
    """Go on with a run that was cut off or has failed, at its step. The exit codes are those of `run`."""
    with _readable():
        journal = Journal(state)
        entry = journal.get(run_id)
        procedure = find(entry.document["procedure"])
        environment, inputs = _begun_with(entry, procedure)
    forget_libpq_variables()
    screen = Screen(confirmed=confirm)
    _go(Execution(procedure, environment, inputs, journal, screen), entry, screen, state, as_json=as_json)


@app.command()
def history(run_id: OneRun = None, *, as_json: Json = False, state: State = DEFAULT_STATE) -> None:
    """The runs on this machine, newest first, or what one of them did. Looking executes nothing."""
    with _readable():
        journal = Journal(state)
        if run_id is not None:
            _show_run(journal.get(run_id), as_json=as_json)
            return
        entries = journal.entries()
    rows = [
        {
            "run": entry.id,
            "procedure": entry.document["procedure"],
            "instance": entry.document["target"]["instance"],
            "state": state_of(entry),
            "steps": len(entry.steps),
            "started_at": entry.document["started_at"],
        }
        for entry in entries
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table()
    # Whole, since it is what one copies into the next command; it says when the run began.
    table.add_column("run", no_wrap=True, overflow="ignore")
    for heading in ("instance", "state", "steps"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["run"], row["instance"], row["state"], str(row["steps"]))
    Console(markup=False, highlight=False).print(table)


def state_of(entry: Entry) -> str:
    """How a run is, in a word."""
    if entry.outcome is not None:
        return str(entry.outcome["state"])
    return "running" if entry.runs else "interrupted"


def _show_run(entry: Entry, *, as_json: bool) -> None:
    records = records_of(entry)
    if as_json:
        steps = [record.model_dump(mode="json") for record in records]
        typer.echo(json.dumps({"run": entry.id, "state": state_of(entry), **entry.document, "steps": steps}))
        return
    typer.echo(f"{entry.id}: {state_of(entry)}, on {entry.document['target']['instance']}")
    for record in records:
        typer.echo(f"{record.step}: {record.state.value}, {record.seconds:.1f} s{_colon(record.message)}")
        for finding in record.findings:
            typer.echo(f"  {finding.result.value}: {finding.test}{_colon(finding.found)}{_colon(finding.action)}")


def _colon(text: str) -> str:
    return f": {text}" if text else ""


def _dry_run(execution: Execution, screen: Screen, *, as_json: bool) -> None:
    try:
        plan = execution.plan()
    except RefusedError as error:
        _end_early(Verdict.REFUSED, str(error), as_json=as_json)
    if as_json:
        typer.echo(json.dumps([{"step": step.name, "before": one.before, "after": one.after} for step, one in plan]))
    else:
        screen.plan(plan)


def _declined(procedure: Procedure, environment: Target, *, yes: bool, confirm: str | None) -> str:
    """Why it is not begun; empty when it is."""
    if confirm is not None:
        return "" if confirm == environment.instance else f"--confirm {confirm} is not instance {environment.instance}"
    if procedure.destroys and not is_terminal():
        return f"nobody can type the instance's name here: give --confirm {environment.instance}"
    if not procedure.changes or yes:
        return ""
    if not is_terminal():
        return "nobody can be asked here whether to begin: give --yes"
    question = f"Run {procedure.name} on instance {environment.instance} of {environment.name}?"
    return "" if typer.confirm(question, err=True) else "the answer was no"


def _go(execution: Execution, entry: Entry | None, screen: Screen, state: Path, *, as_json: bool) -> None:
    try:
        with ending_at_once(screen.interrupted):
            ended = execution.begin() if entry is None else execution.resume(entry)
    except RefusedError as error:
        _end_early(Verdict.REFUSED, str(error), as_json=as_json)
    path = report.write(ended, state)
    screen.end(ended, str(path))
    if as_json:
        typer.echo(json.dumps(report.document(ended)))
    raise typer.Exit(report.verdict_of(ended))


def _end_early(verdict: Verdict, message: str, *, as_json: bool) -> NoReturn:
    typer.echo(f"holdfast: {verdict.name.lower()}: {message}", err=True)
    if as_json:
        typer.echo(json.dumps({"verdict": verdict.name.lower(), "message": message}))
    raise typer.Exit(verdict)


@contextmanager
def _readable() -> Iterator[None]:
    """End as for a wrong option when what was asked cannot be understood: nothing was tried yet."""
    try:
        yield
    except RunbookError as error:
        typer.echo(f"holdfast: {error}", err=True)
        raise typer.Exit(USAGE) from None


def _begun_with(entry: Entry, procedure: Procedure) -> tuple[Target, Inputs]:
    try:
        document = entry.document
        return Target.model_validate(document["target"]), procedure.inputs.model_validate(document["inputs"])
    except (ValidationError, KeyError):
        message = f"run {entry.id} was begun by another version, which asked for other things; begin anew"
        raise RunbookError(message) from None


def _inputs(procedure: Procedure, fields: list[str]) -> Inputs:
    given: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        name = name.replace("-", "_")
        if not equals:
            message = f"{field}: write FIELD=VALUE; {_asked(procedure)}"
            raise RunbookError(message)
        if name in given:
            message = f"{name} was given twice; {_asked(procedure)}"
            raise RunbookError(message)
        given[name] = value
    try:
        return procedure.inputs.model_validate(given)
    except ValidationError as error:
        faults = told(error)
        message = f"{procedure.name}: {faults}; {_asked(procedure)}"
        raise RunbookError(message) from None


def _asked(procedure: Procedure) -> str:
    asked = sorted(procedure.inputs.model_fields.items(), key=lambda one: not one[1].is_required())
    fields = [
        f"{name} ({field.description}{'' if field.is_required() else '; may be left out'})" for name, field in asked
    ]
    return f"it asks for {', '.join(fields)}" if fields else "it asks for nothing"
