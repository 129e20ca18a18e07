"""Entries of Google's logs: their forms as Google documents them, as of 2026-11."""

from typing import Any

PROJECT = "holdfast-prod"
SERVICE_ACCOUNT = f"holdfast-api@{PROJECT}.iam.gserviceaccount.com"
PERSON = "someone@holdfast.example"


def entry(log: str, resource: str, labels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """One entry of a log, as `cloudaudit.googleapis.com/activity`."""
    return {
        "logName": f"projects/{PROJECT}/logs/{log.replace('/', '%2F')}",
        "resource": {"type": resource, "labels": {"project_id": PROJECT, **(labels or {})}},
        "severity": "NOTICE",
        **fields,
    }


def audit(kind: str, service: str, method: str, resource: str, who: str = PERSON, **labels: str) -> dict[str, Any]:
    """Of the audit log: kind is activity, data_access or system_event."""
    payload = {"serviceName": service, "methodName": method, "authenticationInfo": {"principalEmail": who}}
    return entry(f"cloudaudit.googleapis.com/{kind}", resource, labels, protoPayload=payload)


def backup(status: str, database_id: str) -> dict[str, Any]:
    """https://cloud.google.com/sql/docs/postgres/audit-logging: what is said of a night's backup."""
    method = "cloudsql.instances.automatedBackup"
    one = audit("system_event", "cloudsql.googleapis.com", method, "cloudsql_database", "", database_id=database_id)
    one["protoPayload"]["metadata"] = {"windowStatus": status}
    return one


def postgresql(line: str, database_id: str) -> dict[str, Any]:
    """A line that PostgreSQL wrote."""
    return entry(
        "cloudsql.googleapis.com/postgres.log", "cloudsql_database", {"database_id": database_id}, textPayload=line
    )


SECRETS = "google.cloud.secretmanager.v1.SecretManagerService"
COMPUTE, IAM, SECRET = "compute.googleapis.com", "iam.googleapis.com", "secretmanager.googleapis.com"
# By alert: what it is about, and what is near yet another thing.
TOLD: dict[str, list[dict[str, Any]]] = {
    "iam-changed": [
        audit("activity", "cloudresourcemanager.googleapis.com", "SetIamPolicy", "project"),
        audit("activity", "run.googleapis.com", "google.cloud.run.v2.Services.SetIamPolicy", "cloud_run_revision"),
        audit("activity", "storage.googleapis.com", "storage.setIamPermissions", "gcs_bucket"),
        audit("activity", IAM, "google.iam.admin.v1.CreateServiceAccountKey", "service_account"),
        audit("activity", IAM, "google.iam.admin.v1.UpdateRole", "iam_role"),
        audit("activity", IAM, "google.iam.admin.v1.CreateServiceAccount", "service_account"),
    ],
    "network-changed": [
        audit("activity", COMPUTE, "v1.compute.firewalls.patch", "gce_firewall_rule"),
        audit("activity", COMPUTE, "v1.compute.routes.insert", "gce_route"),
        audit("activity", COMPUTE, "v1.compute.networks.removePeering", "gce_network"),
    ],
    "secrets-changed": [
        audit("activity", SECRET, f"{SECRETS}.AddSecretVersion", "audited_resource"),
        audit("activity", SECRET, f"{SECRETS}.SetIamPolicy", "audited_resource"),
    ],
    "secret-read": [audit("data_access", SECRET, f"{SECRETS}.AccessSecretVersion", "audited_resource")],
    "schedule-failed": [
        {
            **entry("cloudscheduler.googleapis.com/executions", "cloud_scheduler_job", {"job_id": "holdfast-metrics"}),
            "severity": "ERROR",
        }
    ],
}
UNTOLD: dict[str, list[dict[str, Any]]] = {
    "iam-changed": [
        audit("activity", "cloudresourcemanager.googleapis.com", "GetIamPolicy", "project"),
        audit("data_access", "cloudresourcemanager.googleapis.com", "SetIamPolicy", "project"),
        audit("activity", "run.googleapis.com", "google.cloud.run.v2.Services.UpdateService", "cloud_run_revision"),
    ],
    "network-changed": [audit("activity", COMPUTE, "v1.compute.instances.insert", "gce_instance")],
    "secrets-changed": [
        audit("data_access", SECRET, f"{SECRETS}.AccessSecretVersion", "audited_resource"),
        audit("activity", IAM, "google.iam.admin.v1.UpdateRole", "iam_role"),
    ],
    "secret-read": [
        audit("data_access", SECRET, f"{SECRETS}.AccessSecretVersion", "audited_resource", SERVICE_ACCOUNT),
        audit("data_access", SECRET, f"{SECRETS}.ListSecrets", "audited_resource"),
    ],
    "schedule-failed": [
        entry("cloudscheduler.googleapis.com/executions", "cloud_scheduler_job", {"job_id": "holdfast-metrics"})
    ],
}
