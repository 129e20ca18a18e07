"""Analytics: the archive's tables, in SQL."""

import json

from infra.archived import TABLES
from runbooks.plan.model import Resource
from tests.contract.plans import planned

DATASET = "gcp:bigquery/dataset:Dataset"
TABLE = "gcp:bigquery/table:Table"
OPERATORS = "group:holdfast-oncall@holdfast.example"


def tables() -> dict[str, Resource]:
    return {one.inputs["tableId"]: one for one in planned("prod", resolve=True).of_type(TABLE)}


def test_without_the_setting_there_is_nothing() -> None:
    assert [one for one in planned("dev").resources if one.type.startswith("gcp:bigquery/")] == []


def test_it_is_where_the_archive_is_and_outlives_what_people_do_not_mean() -> None:
    plan = planned("prod", resolve=True)
    (dataset,) = plan.of_type(DATASET)
    (archive,) = (one for one in plan.of_type("gcp:storage/bucket:Bucket") if one.name == "holdfast-archive")
    assert dataset.inputs["location"] == archive.inputs["location"]
    assert dataset.protect
    assert dataset.inputs["deleteContentsOnDestroy"] is False


def test_each_table_reads_its_own_prefix_and_no_manifest() -> None:
    sources = {name: one.inputs["externalDataConfiguration"]["sourceUris"] for name, one in tables().items()}
    assert sources == {
        "system_metrics": ["gs://holdfast-prod-holdfast-archive/metrics/*.ndjson.gz"],
        "backfill_jobs": ["gs://holdfast-prod-holdfast-archive/jobs/*.ndjson.gz"],
        "insight_feedback": ["gs://holdfast-prod-holdfast-archive/feedback/*.ndjson.gz"],
    }


def test_the_bucket_itself_deletes_metrics_and_no_other_rows() -> None:
    plan = planned("prod", resolve=True)
    (archive,) = (one for one in plan.of_type("gcp:storage/bucket:Bucket") if one.name == "holdfast-archive")
    (rule,) = archive.inputs["lifecycleRules"]
    assert rule["condition"]["matchesPrefixes"] == [TABLES["system_metrics"].prefix]


def test_a_table_can_be_made_before_there_is_an_archive() -> None:
    for name, table in tables().items():
        source = table.inputs["externalDataConfiguration"]
        assert json.loads(source["schema"]) == TABLES[name].schema
        assert (source["autodetect"], "hivePartitioningOptions" in source) == (False, False)


def test_what_no_column_takes_is_an_error_and_not_left_out() -> None:
    for table in tables().values():
        source = table.inputs["externalDataConfiguration"]
        assert (source["ignoreUnknownValues"], source["maxBadRecords"]) == (False, 0)


def test_operators_may_ask_and_read_what_is_asked_of() -> None:
    given = {
        one.inputs["role"]
        for one in planned("prod").resources
        if one.parent and one.parent.endswith("::holdfast-analytics") and one.inputs.get("member") == OPERATORS
    }
    assert given == {"roles/bigquery.dataViewer", "roles/bigquery.jobUser", "roles/storage.objectViewer"}
