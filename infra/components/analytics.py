"""Analytics: SQL over the archive, where the history has outgrown one PostgreSQL."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.archived import SUFFIX, TABLES, ArchivedTable
from infra.components.encryption import Encryption, Purpose
from infra.components.storage import Storage
from infra.environment import Environment


@dataclass(frozen=True)
class AnalyticsArgs:
    """What is asked.

    Args:
        storage: with the archive.
        encryption: the keys, where the environment has its own.
    """

    storage: Storage
    encryption: Encryption


class Analytics(pulumi.ComponentResource):
    """A dataset with a table over each of the archive's prefixes. It holds no rows: the bucket does."""

    dataset: gcp.bigquery.Dataset

    def __init__(self, env: Environment, args: AnalyticsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("holdfast:infra:Analytics", env.name("analytics"), None, opts)
        self._archive = args.storage.archive
        self.dataset = gcp.bigquery.Dataset(
            env.name("archive"),
            gcp.bigquery.DatasetArgs(
                # It takes no hyphens.
                dataset_id=env.name("archive").replace("-", "_"),
                description="The archive's tables.",
                # BigQuery reads a bucket only from where it is.
                location=env.config.region,
                # What people made of it is theirs.
                delete_contents_on_destroy=False,
                default_encryption_configuration=_encryption(args.encryption.key(Purpose.ANALYTICS)),
            ),
            pulumi.ResourceOptions(parent=self, protect=env.config.database.deletion_protected),
        )
        for name, table in TABLES.items():
            self._table(env, name, table)
        for member in env.config.access.operators:
            self._reader(env, member)
        self.register_outputs({})

    def _table(self, env: Environment, name: str, table: ArchivedTable) -> None:
        gcp.bigquery.Table(
            env.name(f"archive-{name.replace('_', '-')}"),
            gcp.bigquery.TableArgs(
                dataset_id=self.dataset.dataset_id,
                table_id=name,
                external_data_configuration=gcp.bigquery.TableExternalDataConfigurationArgs(
                    # With a schema, and without hive's partitions, a table may be made before the first archive is:
                    # both would look for files. A query answers "matched no files" until then.
                    autodetect=False,
                    schema=json.dumps(table.schema),
                    source_format="NEWLINE_DELIMITED_JSON",
                    compression="GZIP",
                    source_uris=[pulumi.Output.concat("gs://", self._archive.name, f"/{table.prefix}*{SUFFIX}")],
                    # A column that nobody declared is a schema that has changed.
                    ignore_unknown_values=False,
                    max_bad_records=0,
                ),
                # There is nothing in it to lose, and a new column replaces it.
                deletion_protection=False,
            ),
            # Both would have one name.
            pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

    def _reader(self, env: Environment, member: str) -> None:
        """Who asks has to read the bucket too: https://cloud.google.com/bigquery/docs/query-cloud-storage-data."""
        here = pulumi.ResourceOptions(parent=self)
        gcp.bigquery.DatasetIamMember(
            env.name(f"archive-reader-{member}"),
            gcp.bigquery.DatasetIamMemberArgs(
                dataset_id=self.dataset.dataset_id, role="roles/bigquery.dataViewer", member=member
            ),
            here,
        )
        gcp.storage.BucketIAMMember(
            env.name(f"archive-object-reader-{member}"),
            gcp.storage.BucketIAMMemberArgs(
                bucket=self._archive.name, role="roles/storage.objectViewer", member=member
            ),
            here,
        )
        gcp.projects.IAMMember(
            env.name(f"archive-query-{member}"),
            gcp.projects.IAMMemberArgs(project=env.config.project, role="roles/bigquery.jobUser", member=member),
            here,
        )


def _encryption(key: pulumi.Input[str] | None) -> gcp.bigquery.DatasetDefaultEncryptionConfigurationArgs | None:
    return None if key is None else gcp.bigquery.DatasetDefaultEncryptionConfigurationArgs(kms_key_name=key)
