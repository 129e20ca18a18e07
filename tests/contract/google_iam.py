"""What Google asks for a call, and what its roles have, as of 2026-11. Only what the platform calls and gives.

Cloud SQL: https://cloud.google.com/sql/docs/postgres/iam-permissions and https://cloud.google.com/sql/docs/postgres/iam-roles.
Secret Manager: https://cloud.google.com/secret-manager/docs/access-control. Cloud Run:
https://cloud.google.com/run/docs/reference/iam/permissions. Storage:
https://cloud.google.com/storage/docs/access-control/iam-roles. BigQuery:
https://cloud.google.com/bigquery/docs/access-control. Monitoring:
https://cloud.google.com/monitoring/access-control. IAP: https://cloud.google.com/iap/docs/using-tcp-forwarding.
OS Login: https://cloud.google.com/compute/docs/oslogin/set-up-oslogin.
"""

from collections.abc import Mapping

PERMISSIONS: Mapping[str, frozenset[str]] = {
    call: frozenset(permissions.split())
    for call, permissions in {
        "bigquery.jobs.insert": "bigquery.jobs.create",
        "bigquery.tables.read": "bigquery.tables.getData",
        "compute.instances.get": "compute.instances.get",
        "compute.projects.get": "compute.projects.get",
        "iap.tunnel": "iap.tunnelInstances.accessViaIAP",
        "monitoring.metricDescriptors.create": "monitoring.metricDescriptors.create",
        "monitoring.metricDescriptors.get": "monitoring.metricDescriptors.get",
        "monitoring.timeSeries.create": "monitoring.timeSeries.create",
        # What the machine's own guest asks, of a machine without a service account.
        "oslogin.login": "compute.instances.osLogin",
        "run.jobs.run": "run.jobs.run",
        # A revision is made, which runs as a service account.
        "run.services.patch": "run.services.get run.services.update iam.serviceAccounts.actAs",
        "run.services.get": "run.services.get",
        "run.operations.get": "run.operations.get",
        "secretmanager.versions.access": "secretmanager.versions.access",
        "secretmanager.versions.add": "secretmanager.versions.add",
        "secretmanager.versions.disable": "secretmanager.versions.disable",
        "secretmanager.versions.list": "secretmanager.versions.list",
        "storage.objects.get": "storage.objects.get",
        "storage.objects.list": "storage.objects.list",
        "sql.backupRuns.get": "cloudsql.backupRuns.get",
        "sql.backupRuns.insert": "cloudsql.backupRuns.create",
        "sql.backupRuns.list": "cloudsql.backupRuns.list",
        "sql.connect.generateEphemeral": "cloudsql.instances.connect",
        "sql.connect.get": "cloudsql.instances.get",
        "sql.instances.clone": "cloudsql.instances.clone",
        "sql.instances.delete": "cloudsql.instances.delete",
        "sql.instances.failover": "cloudsql.instances.failover",
        "sql.instances.get": "cloudsql.instances.get",
        "sql.instances.insert": "cloudsql.instances.create",
        "sql.instances.list": "cloudsql.instances.list",
        "sql.instances.patch": "cloudsql.instances.get cloudsql.instances.update",
        "sql.instances.promoteReplica": "cloudsql.instances.promoteReplica",
        "sql.instances.restoreBackup": "cloudsql.instances.restoreBackup cloudsql.backupRuns.get",
        "sql.login": "cloudsql.instances.login",
        "sql.operations.get": "cloudsql.instances.get",
        "sql.operations.list": "cloudsql.instances.get cloudsql.instances.list",
        # It has none of its own.
        "sql.projects.instances.getLatestRecoveryTime": "cloudsql.instances.get",
        "sql.users.list": "cloudsql.users.list",
        "sql.users.update": "cloudsql.users.update",
    }.items()
}

ROLES: Mapping[str, frozenset[str]] = {
    role: frozenset(permissions.split())
    for role, permissions in {
        "roles/bigquery.dataViewer": "bigquery.datasets.get bigquery.tables.get bigquery.tables.getData",
        "roles/bigquery.jobUser": "bigquery.jobs.create",
        # On a machine, as it is given here, nothing of its project.
        "roles/compute.osLogin": "compute.instances.get compute.instances.list compute.instances.osLogin",
        "roles/cloudsql.client": "cloudsql.instances.connect cloudsql.instances.get",
        "roles/cloudsql.instanceUser": "cloudsql.instances.get cloudsql.instances.login",
        "roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs iam.serviceAccounts.get iam.serviceAccounts.list",
        "roles/iap.tunnelResourceAccessor": "iap.tunnelDestGroups.accessViaIAP iap.tunnelInstances.accessViaIAP",
        "roles/logging.logWriter": "logging.logEntries.create",
        "roles/monitoring.metricWriter": (
            "monitoring.metricDescriptors.create monitoring.metricDescriptors.get monitoring.metricDescriptors.list "
            "monitoring.monitoredResourceDescriptors.get monitoring.monitoredResourceDescriptors.list "
            "monitoring.timeSeries.create"
        ),
        "roles/run.invoker": "run.jobs.run run.routes.invoke",
        "roles/secretmanager.secretAccessor": "secretmanager.versions.access",
        "roles/storage.objectCreator": "storage.objects.create",
        "roles/storage.objectViewer": "storage.objects.get storage.objects.list",
    }.items()
}
