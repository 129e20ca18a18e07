"""Alerts against who takes them: Google's API, and the runbooks that answer."""

import functools
import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from runbooks.connect import commands as tunnel
from runbooks.console import commands
from runbooks.plan.model import Plan, Resource
from runbooks.procedures import PROCEDURES
from runbooks.sandbox.discovery import Discovery
from tests.contract.plans import STACKS, planned
from tests.contract.reading import BURN, POLICY, SLO, reads, thresholds

each_stack = pytest.mark.parametrize("stack", STACKS)
COMMAND = re.compile(r"```sh\n(.*?)```", re.DOTALL)
DAY = 86400


def prod() -> Plan:
    return planned("prod", resolve=True)


# Google's API

CREATE = {
    "monitoring.v3": {
        POLICY: "monitoring.projects.alertPolicies.create",
        SLO: "monitoring.services.serviceLevelObjectives.create",
        "gcp:monitoring/customService:CustomService": "monitoring.services.create",
        "gcp:monitoring/metricDescriptor:MetricDescriptor": "monitoring.projects.metricDescriptors.create",
        "gcp:monitoring/notificationChannel:NotificationChannel": "monitoring.projects.notificationChannels.create",
        "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig": "monitoring.projects.uptimeCheckConfigs.create",
    },
    "logging.v2": {"gcp:logging/metric:Metric": "logging.projects.metrics.create"},
    "monitoring.v1": {"gcp:monitoring/dashboard:Dashboard": "monitoring.projects.dashboards.create"},
}
# What the provider puts elsewhere in its requests.
RENAMED = {
    "requestBasedSli": lambda value: {"serviceLevelIndicator": {"requestBased": value}},
    "rollingPeriodDays": lambda value: {"rollingPeriod": f"{value * DAY}s"},
    "acceptedResponseStatusCodes": lambda value: {"acceptedResponseStatusCodes": value},
    "dashboardJson": json.loads,
    "service": lambda _: {},
    "serviceId": lambda _: {},
    "sloId": lambda _: {},
    "forceDelete": lambda _: {},
}


def body(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The request that the provider makes of a resource."""
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        found |= RENAMED[name](value) if name in RENAMED else {name: value}
    return found


def refusals(resources: list[Resource]) -> list[str]:
    """What Google's API would say of them."""
    lines = []
    for document, methods in CREATE.items():
        api = Discovery.installed(document)
        assert api
        for one in resources:
            if one.type in methods:
                lines += [
                    f"{one.name}: {fault}" for fault in api.request_faults(methods[one.type], {}, body(one.inputs))
                ]
    return lines


@each_stack
def test_googles_api_takes_everything(stack: str) -> None:
    assert refusals(planned(stack, resolve=True).resources) == []


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("cpu", "ALIGN_MEAN", "ALIGN_MEDIUM"),
        ("cpu", "thresholdValue", "threshold"),
        ("owner-login", "conditionMatchedLog", "conditionLog"),
        ("ready", "EUROPE", "AFRICA"),
        ("dashboard", "perSeriesAligner", "aligner"),
        ("latency", "distributionCut", "cut"),
    ],
)
def test_what_googles_api_refuses_is_told(name: str, before: str, after: str) -> None:
    (one,) = [one.model_copy(deep=True) for one in prod().resources if one.name == f"holdfast-{name}" and one.custom]
    one.inputs = json.loads(json.dumps(one.inputs).replace(before, after))
    assert refusals([one])


@each_stack
def test_every_filter_is_understood_and_names_what_is_there(stack: str) -> None:
    plan = planned(stack, resolve=True)
    named: dict[str, set[str]] = {
        "service_name": names(plan, "gcp:cloudrunv2/service:Service"),
        "job_name": names(plan, "gcp:cloudrunv2/job:Job"),
        "url_map_name": names(plan, "gcp:compute/uRLMap:URLMap"),
    }
    for read in reads(plan.resources):
        for label, value in read.filter.resource_labels.items():
            assert value in named.get(label, {value}), read
    for one, condition in thresholds(plan.resources):
        if "select_slo" in condition["filter"]:
            found = BURN.fullmatch(condition["filter"])
            assert found, one.name
            (project, service, objective) = found.groups()
            assert project == stack_project(plan)
            assert (service, objective) in {(slo.inputs["service"], slo.inputs["sloId"]) for slo in plan.of_type(SLO)}


def names(plan: Plan, kind: str) -> set[str]:
    return {one.inputs["name"] for one in plan.of_type(kind)}


def stack_project(plan: Plan) -> str:
    return f"holdfast-{plan.stack}"


async def test_the_uptime_checks_text_is_in_the_apis_answer(client: httpx.AsyncClient) -> None:
    (check,) = prod().of_type("gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig")
    (matcher,) = check.inputs["contentMatchers"]
    answer = await client.get(check.inputs["httpCheck"]["path"])
    assert matcher["matcher"] == "CONTAINS_STRING"
    assert matcher["content"] in answer.text
    assert matcher["content"] not in answer.text.replace("true", "false")


# The procedures


def answers(resources: list[Resource]) -> list[str]:
    """A line for each policy whose procedure is none, or whose commands `holdfast` does not understand."""
    lines = []
    known = {one.name for one in PROCEDURES}
    for one in resources:
        if one.type != POLICY:
            continue
        procedure = one.inputs["userLabels"]["procedure"]
        if procedure not in known:
            lines.append(f"{one.name}: there is no procedure {procedure}")
        written = COMMAND.search(one.inputs["documentation"]["content"])
        runs = [tuple(shlex.split(line)) for line in written[1].splitlines()] if written else []
        if not any(line[:4] == ("holdfast", "runbook", "run", procedure) for line in runs):
            lines.append(f"{one.name}: its text does not say how to run {procedure}")
        lines += [f"{one.name}: {procedure} asks for {field}" for field in _not_told(procedure, runs)]
        lines += [f"{one.name}: {fault}" for fault in map(_misunderstood, runs) if fault]
    return lines


def _not_told(procedure: str, runs: list[tuple[str, ...]]) -> list[str]:
    """What a procedure has to be told, and no command says."""
    told = {word.partition("=")[0] for line in runs for word in line}
    asked = [one.inputs for one in PROCEDURES if one.name == procedure]
    return [
        name
        for inputs in asked
        for name, field in inputs.model_fields.items()
        if field.is_required() and name not in told
    ]


@functools.cache
def _misunderstood(words: tuple[str, ...]) -> str | None:
    console = typer.Typer()
    commands.register(console)
    tunnel.register(console)
    # What it does is not done: it is asked for its help after it has read all of the line.
    ended = CliRunner().invoke(console, [*words[1:], "--help"])
    return None if ended.exit_code == 0 else " ".join(ended.output.split())


@each_stack
def test_each_alert_has_a_procedure_and_says_how_to_run_it(stack: str) -> None:
    assert answers(planned(stack, resolve=True).resources) == []


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('"backup-now"', '"backup"', "there is no procedure backup"),
        ("run backup-now", "run failover", "its text does not say how to run backup-now"),
        ("--stack", "--stak", "No such option: --stak"),
        ("holdfast connect", "holdfast tunnel", "No such command 'tunnel'"),
        ("runbook show", "runbook look", "No such command 'look'"),
    ],
)
def test_an_alert_that_nobody_can_answer_is_told(before: str, after: str, line: str) -> None:
    (one,) = [one.model_copy(deep=True) for one in prod().of_type(POLICY) if one.name == "holdfast-backup-stale"]
    one.inputs = json.loads(json.dumps(one.inputs).replace(before, after))
    assert any(told.startswith("holdfast-backup-stale: ") and line in told for told in answers([one]))


def test_a_command_that_does_not_say_what_its_procedure_asks_for_is_told() -> None:
    (one,) = [one.model_copy(deep=True) for one in prod().of_type(POLICY) if one.name == "holdfast-owner-login"]
    assert answers([one]) == []
    one.inputs = json.loads(json.dumps(one.inputs).replace(" login=operator", ""))
    assert answers([one]) == ["holdfast-owner-login: rotate-password asks for login"]
