"""`holdfast plan`: a thin command over the evaluation."""

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runbooks.plan.model import Resource

ROOT = Path(__file__).parent.parent.parent

Stack = Annotated[str, typer.Argument(help="The stack, such as dev: it has a Pulumi.<stack>.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output: the resources, or what differs.")]
Resolve = Annotated[bool, typer.Option("--resolve", help="Give what only the cloud knows a plausible value.")]
Diff = Annotated[str | None, typer.Option(metavar="STACK", help="Show what differs from another stack.")]
DiffFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Show what differs from an earlier plan, written with --json.")
]
Change = Annotated[
    list[str] | None,
    typer.Option("--config", "-c", metavar="PATH=VALUE", help="Another value of a setting, such as service.image."),
]
Snapshot = Annotated[Path | None, typer.Option(metavar="FILE", help="Write this snapshot of the plan anew.")]
Folder = Annotated[Path, typer.Option("--project", metavar="FOLDER", help="The folder that has Pulumi.yaml.")]


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(plan)


def plan(
    stack: Stack,
    *,
    as_json: Json = False,
    resolve: Resolve = False,
    diff: Diff = None,
    diff_file: DiffFile = None,
    change: Change = None,
    snapshot: Snapshot = None,
    project: Folder = ROOT,
) -> None:
    """What `pulumi up` would build, without a cloud, credentials or the pulumi command.

    Secrets and what only the cloud knows are shown as such. With --diff, from the other one to this one:
    `holdfast plan prod --diff prod --config database.tier=db-custom-4-15360` shows what a setting changes.
    """
    # Here and not above: every command of `holdfast` would wait for what Pulumi imports.
    from runbooks.plan import display  # noqa: PLC0415
    from runbooks.plan import snapshot as snapshots  # noqa: PLC0415
    from runbooks.plan.difference import differences  # noqa: PLC0415
    from runbooks.plan.errors import PlanError  # noqa: PLC0415
    from runbooks.plan.evaluate import evaluate  # noqa: PLC0415
    from runbooks.plan.project import Project  # noqa: PLC0415

    if diff is not None and diff_file is not None:
        message = "--diff and --diff-file both say what to compare with; give one"
        raise PlanError(message)
    evaluated = Project(project.absolute())
    changes = _changes(change or [])
    planned = evaluate(evaluated, stack, resolve=resolve, changes=changes)
    # Python looks for garbage once more as it ends: half a second among Pulumi's modules, which stay.
    gc.freeze()
    for line in planned.warnings:
        typer.echo(f"holdfast: {line}", err=True)
    if snapshot is not None:
        snapshots.write(planned, snapshot)
    if diff is None and diff_file is None:
        if not as_json:
            display.show(planned)
            return
        typer.echo(json.dumps(planned.document(), indent=2, ensure_ascii=False))
        for invoke in planned.unresolved:
            typer.echo(f"holdfast: only the cloud can answer {invoke.token}", err=True)
        return
    before = evaluate(evaluated, diff, resolve=resolve).resources if diff is not None else _read(diff_file)
    found = differences(before, planned.resources)
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2, ensure_ascii=False))
    else:
        display.show_differences(found, diff or str(diff_file), stack)


def _changes(said: list[str]) -> dict[str, str]:
    from runbooks.plan.errors import PlanError  # noqa: PLC0415

    pairs = [one.partition("=") for one in said]
    wrong = [one for one, (path, equals, _) in zip(said, pairs, strict=True) if not (equals and all(path.split(".")))]
    if wrong:
        message = f"--config {wrong[0]}: write PATH=VALUE, such as service.max_instances=12"
        raise PlanError(message)
    return {path: value for path, _, value in pairs}


def _read(path: Path | None) -> "list[Resource]":
    from pydantic import ValidationError  # noqa: PLC0415

    from runbooks.plan.errors import PlanError  # noqa: PLC0415
    from runbooks.plan.model import documents  # noqa: PLC0415

    assert path is not None  # noqa: S101
    try:
        return documents.validate_json(path.read_bytes())
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise PlanError(message) from None
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{path}: it is not a plan: {' '.join((*map(str, first['loc']), first['msg'].lower()))}"
        raise PlanError(message) from None
