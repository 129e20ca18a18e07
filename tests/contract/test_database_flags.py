"""The flags in the plan: a real PostgreSQL starts with them and has them in force, and Google has the others."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.database_flags import DEFAULTS, SUPPORTED
from runbooks.plan.model import Plan
from runbooks.sandbox.engine.errors import EngineError
from tests.contract.plans import STACKS, planned
from tests.runbooks.sandbox.engine.clusters import clusters_in

INSTANCE = "gcp:sql/databaseInstance:DatabaseInstance"
VERSIONS = {"POSTGRES_16": 16, "POSTGRES_18": 18}


def flags_of(plan: Plan) -> dict[str, str]:
    """The flags of the primary, which every copy has too."""
    every = [
        {flag["name"]: flag["value"] for flag in one.inputs["settings"]["databaseFlags"]}
        for one in plan.of_type(INSTANCE)
    ]
    assert all(one == every[0] for one in every)
    return every[0]


def refused(flags: Mapping[str, str], folder: Path, version: int = 18) -> list[str]:
    """What a new server of a version, or Google, does not take of the flags."""
    lines = [f"{name}: Google has no such flag" for name in flags if name not in SUPPORTED | DEFAULTS.keys()]
    own = {name: value for name, value in flags.items() if "." not in name and name in SUPPORTED | DEFAULTS.keys()}
    with clusters_in(folder) as clusters:
        try:
            cluster = clusters.running("flagged", version=version, **own)
        except EngineError as error:
            return [*lines, str(error)]
        # It would say 200ms for 200.
        told = dict(cluster.execute("SELECT name, setting FROM pg_settings"))
    return [*lines, *(f"{name}: {told[name]}, not {value}" for name, value in own.items() if told[name] != value)]


def test_a_server_of_each_version_starts_with_the_flags_of_both_stacks(tmp_path: Path) -> None:
    flags = [flags_of(planned(stack, resolve=True)) for stack in STACKS]
    assert flags[0] == flags[1]
    for name, version in VERSIONS.items():
        assert refused(flags[0], tmp_path / name, version) == [], name


@pytest.mark.parametrize(
    ("name", "value"), [("log_min_messages", "loud"), ("work_men", "8MB"), ("cloudsql.iam_autentication", "on")]
)
def test_a_flag_that_is_none_is_found(tmp_path: Path, name: str, value: str) -> None:
    assert refused(flags_of(planned("prod", resolve=True)) | {name: value}, tmp_path)
