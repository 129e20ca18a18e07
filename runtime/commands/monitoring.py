"""Commands by which the platform is watched."""

import json
from typing import Annotated

import typer

from runtime import settings
from runtime.jobs.publishing import Outcome, publish_platform

AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


def publish_metrics(*, as_json: AsJson = False) -> None:
    """Write the ages of backup, verification and secrets, and the months made ahead, to Cloud Monitoring.

    Ends with 1 when one of them is not known; the others are written.
    """
    outcome = publish_platform(settings.load(settings.Settings))
    for line in outcome.failures:
        typer.echo(f"not known: {line}", err=True)
    typer.echo(json.dumps(_document(outcome)) if as_json else _page(outcome))
    if outcome.failures:
        raise typer.Exit(1)


def _document(outcome: Outcome) -> dict[str, object]:
    return {
        "series": [
            {"metric_type": one.metric_type, "labels": dict(one.labels), "value": one.value} for one in outcome.readings
        ],
        "failures": outcome.failures,
    }


def _page(outcome: Outcome) -> str:
    lines = [" ".join([one.metric_type, *one.labels.values(), str(one.value)]) for one in outcome.readings]
    if outcome.described:
        lines.append(f"{outcome.described} metrics described for the first time, or anew")
    return "\n".join([*lines, f"{len(outcome.readings)} series written"])
