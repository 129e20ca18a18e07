"""Each input is one that the installed SDK declares, nested keys included."""

from pathlib import Path

import pytest
from pulumi._types import input_type_types

from runbooks.plan.declared import undeclared, undeclared_inputs
from runbooks.plan.errors import PlanError
from runbooks.plan.evaluate import evaluate
from runbooks.plan.model import Resource
from runbooks.plan.project import Project
from runbooks.plan.replacing import FORCES, FORCES_WHERE
from runbooks.plan.sdk import args_class, resource_class
from tests.contract.plans import planned
from tests.infra.programs.writing import write

NESTED = Path(__file__).parent / "programs" / "nested"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_program_without_typos_has_none(stack: str) -> None:
    assert undeclared(evaluate(Project(NESTED), stack)) == []


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ("settings={'tier': 't', 'sise': 1}", "settings.sise is not an input of DatabaseInstanceSettingsArgs"),
        (
            "settings={'tier': 't', 'ip_configuration': {'ssl_mod': 'ENCRYPTED_ONLY'}}",
            "settings.ipConfiguration.ssl_mod is not an input of DatabaseInstanceSettingsIpConfigurationArgs",
        ),
        (
            "settings={'tier': 't', 'database_flags': [{'name': 'a', 'value': 'b'}, {'name': 'a', 'valeu': 'b'}]}",
            "settings.databaseFlags[1].valeu is not an input of DatabaseInstanceSettingsDatabaseFlagArgs",
        ),
    ],
)  # fmt: skip
def test_a_typo_is_found_at_any_depth(tmp_path: Path, inputs: str, fault: str) -> None:
    plan = evaluate(
        write(tmp_path, f"gcp.sql.DatabaseInstance('one', database_version='POSTGRES_17', {inputs})"), "dev"
    )
    (line,) = undeclared(plan)
    assert fault in line
    assert line.startswith("urn:pulumi:dev::holdfast::gcp:sql/databaseInstance:DatabaseInstance::one: ")


@pytest.mark.parametrize("settings", [{"tier": {"of": "t"}}, {"tier": "t", "user_labels": ["a"]}])
def test_what_is_no_value_of_its_type_is_refused_by_pulumi_itself(tmp_path: Path, settings: dict[str, object]) -> None:
    project = write(tmp_path, f"gcp.sql.DatabaseInstance('one', database_version='POSTGRES_17', settings={settings})")
    with pytest.raises(PlanError, match=r"Unexpected type.*settings|settings.*Unexpected type"):
        evaluate(project, "dev")


def test_an_object_or_a_list_where_none_is_declared_is_found() -> None:
    type_ = "gcp:sql/databaseInstance:DatabaseInstance"
    inputs = {"region": {"a": 1}, "settings": ["a"], "replicaNames": "[unknown]", "rootPassword": "[secret]"}
    resource = Resource(urn="urn", type=type_, name="one", custom=True, inputs=inputs)
    assert undeclared_inputs(resource) == [
        "urn: region is an object, which the SDK does not declare there",
        "urn: settings is a list, which the SDK does not declare there",
    ]


def test_labels_have_any_key_and_a_secret_or_unknown_any_place(tmp_path: Path) -> None:
    program = """
        network = gcp.compute.Network("n")
        gcp.sql.DatabaseInstance(
            "one",
            database_version="POSTGRES_17",
            root_password="x",
            settings={
                "tier": "t",
                "user_labels": {"any_key-0": "x"},
                "ip_configuration": {"private_network": network.id},
            },
        )
        gcp.storage.BucketObject("o", bucket="b", source=pulumi.StringAsset("text"))
        gcp.Provider("p", batching={"send_after": "1s"})
    """
    assert undeclared(evaluate(write(tmp_path, program), "dev")) == []


def test_a_type_that_nothing_declares_is_found(tmp_path: Path) -> None:
    program = "pulumi.CustomResource('gcp:sql/databaseInstance:DatabaseInstence', 'one', {})"
    (line,) = undeclared(evaluate(write(tmp_path, program), "dev"))
    assert "no installed package declares gcp:sql/databaseInstance:DatabaseInstence" in line


@pytest.mark.parametrize("type_", FORCES)
def test_the_table_of_what_replaces_names_types_and_inputs_of_the_sdk(type_: str) -> None:
    assert resource_class(type_) is not None
    declared = input_type_types(args_class(type_))
    paths = {*FORCES[type_], *FORCES_WHERE.get(type_, ())} - {"*"}
    assert {path.split(".", maxsplit=1)[0] for path in paths} <= set(declared)


def test_of_each_type_that_the_program_makes_it_is_known_what_replaces_it() -> None:
    changes = (
        ("database.connectivity", "PRIVATE_SERVICE_CONNECT"),
        ("customer_managed_keys", "true"),
        ("budget.billing_account", "01AB23-CD45EF-678901"),
    )
    made = {one.type for one in planned("prod", resolve=True, changes=changes).resources if one.custom}
    assert {one for one in made if not one.startswith("pulumi:")} == set(FORCES)
