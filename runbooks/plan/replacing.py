"""The inputs whose change makes Google's resource anew.

The Python SDK does not say so: the provider's own schema does, and it is not installed. This table is of the types that
the program uses. Compared with the provider's source (ForceNew, or `immutable`), the first two in part: the database
instance, buckets, users, Memorystore, global addresses, the private connection, metrics, uptime checks. The others are
not: they are what names and places a resource. An input that is not here is taken for an update, except where the
program itself says replaceOnChanges.
"""

from enum import Enum

READ = "2026-11"

# Of what is a relation, or a choice that is made once: every input.
_ALL = frozenset({"*"})
_NAMED = frozenset({"name", "project"})
_PLACE = _NAMED | {"location"}
_REGION = _NAMED | {"region"}

DATABASE = "gcp:sql/databaseInstance:DatabaseInstance"
SUBNET = "gcp:compute/subnetwork:Subnetwork"

FORCES: dict[str, frozenset[str]] = {
    "gcp:artifactregistry/repository:Repository": frozenset({"format", "location", "project", "repositoryId"}),
    "gcp:bigquery/dataset:Dataset": frozenset({"datasetId", "location", "project"}),
    "gcp:bigquery/datasetIamMember:DatasetIamMember": _ALL,
    "gcp:bigquery/table:Table": frozenset({"datasetId", "tableId", "project", "externalDataConfiguration.schema"}),
    "gcp:billing/budget:Budget": frozenset({"billingAccount"}),
    "gcp:cloudrunv2/job:Job": _PLACE,
    "gcp:cloudrunv2/jobIamMember:JobIamMember": _ALL,
    "gcp:cloudrunv2/service:Service": _PLACE,
    "gcp:cloudscheduler/job:Job": _REGION,
    "gcp:compute/backendService:BackendService": _NAMED,
    "gcp:compute/firewall:Firewall": _NAMED | {"direction", "network"},
    "gcp:compute/globalAddress:GlobalAddress": _NAMED
    | {"address", "addressType", "network", "prefixLength", "purpose", "ipVersion", "description"},
    "gcp:compute/globalForwardingRule:GlobalForwardingRule": _NAMED
    | {"description", "ipAddress", "ipProtocol", "ipVersion", "network", "portRange", "subnetwork"},
    "gcp:compute/instance:Instance": _NAMED | {"bootDisk", "hostname", "metadataStartupScript", "zone"},
    "gcp:compute/instanceIAMMember:InstanceIAMMember": _ALL,
    "gcp:compute/managedSslCertificate:ManagedSslCertificate": _ALL,
    "gcp:compute/network:Network": _NAMED | {"autoCreateSubnetworks", "description"},
    "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup": _ALL,
    "gcp:compute/sSLPolicy:SSLPolicy": _NAMED | {"description"},
    "gcp:compute/securityPolicy:SecurityPolicy": _NAMED,
    SUBNET: _REGION | {"network", "description", "purpose"},
    "gcp:compute/targetHttpProxy:TargetHttpProxy": _NAMED | {"description"},
    "gcp:compute/targetHttpsProxy:TargetHttpsProxy": _NAMED | {"description"},
    "gcp:compute/uRLMap:URLMap": _NAMED,
    "gcp:iap/tunnelInstanceIAMMember:TunnelInstanceIAMMember": _ALL,
    "gcp:kms/cryptoKey:CryptoKey": frozenset({"name", "keyRing", "purpose", "importOnly", "destroyScheduledDuration"}),
    "gcp:kms/cryptoKeyIAMMember:CryptoKeyIAMMember": _ALL,
    "gcp:kms/keyRing:KeyRing": _PLACE,
    "gcp:logging/metric:Metric": frozenset({"project"}),
    "gcp:logging/projectBucketConfig:ProjectBucketConfig": frozenset({"bucketId", "location", "project"}),
    "gcp:logging/projectSink:ProjectSink": _NAMED | {"uniqueWriterIdentity"},
    "gcp:monitoring/alertPolicy:AlertPolicy": frozenset({"project"}),
    "gcp:monitoring/customService:CustomService": frozenset({"project", "serviceId"}),
    "gcp:monitoring/dashboard:Dashboard": frozenset({"project"}),
    "gcp:monitoring/metricDescriptor:MetricDescriptor": frozenset(
        {"description", "displayName", "metricKind", "project", "type", "unit", "valueType"}
    ),
    "gcp:monitoring/notificationChannel:NotificationChannel": frozenset({"project"}),
    "gcp:monitoring/slo:Slo": frozenset({"project", "service", "sloId"}),
    "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig": frozenset(
        {"httpCheck.requestMethod", "monitoredResource", "period", "project"}
    ),
    "gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy": _PLACE | {"network", "serviceClass"},
    "gcp:projects/iAMAuditConfig:IAMAuditConfig": frozenset({"project", "service"}),
    "gcp:projects/iAMCustomRole:IAMCustomRole": frozenset({"project", "roleId"}),
    "gcp:projects/iAMMember:IAMMember": _ALL,
    "gcp:projects/service:Service": frozenset({"project", "service"}),
    "gcp:projects/serviceIdentity:ServiceIdentity": _ALL,
    "gcp:pubsub/topic:Topic": _NAMED,
    "gcp:pubsub/topicIAMMember:TopicIAMMember": _ALL,
    "gcp:redis/instance:Instance": _REGION
    | {
        "authorizedNetwork",
        "connectMode",
        "customerManagedKey",
        "locationId",
        "alternativeLocationId",
        "reservedIpRange",
        "tier",
        "transitEncryptionMode",
    },
    "gcp:secretmanager/secret:Secret": frozenset({"project", "secretId", "replication"}),
    "gcp:secretmanager/secretIamMember:SecretIamMember": _ALL,
    "gcp:secretmanager/secretVersion:SecretVersion": frozenset({"secret", "secretData", "isSecretDataBase64"}),
    "gcp:serviceaccount/account:Account": frozenset({"accountId", "project"}),
    "gcp:serviceaccount/iAMMember:IAMMember": _ALL,
    "gcp:servicenetworking/connection:Connection": frozenset({"network", "service"}),
    "gcp:sql/database:Database": _NAMED | {"instance"},
    DATABASE: _REGION | {"encryptionKeyName", "settings.collation", "settings.diskType"},
    "gcp:sql/user:User": _NAMED | {"instance", "host", "type"},
    "gcp:storage/bucket:Bucket": _PLACE | {"customPlacementConfig", "hierarchicalNamespace", "enableObjectRetention"},
    "gcp:storage/bucketIAMMember:BucketIAMMember": _ALL,
    "random:index/randomId:RandomId": _ALL,
    "random:index/randomPassword:RandomPassword": _ALL,
}


class When(Enum):
    """What a change has to be."""

    SMALLER = "the number becomes smaller"
    REMOVED = "the input is taken away"
    # A replica whose primary is taken away is promoted instead.
    NOT_REMOVED = "it is another, or is first said"
    NOT_WIDER = "the range does not hold the former"


# Those that make it anew only with some changes.
FORCES_WHERE: dict[str, dict[str, When]] = {
    DATABASE: {
        "masterInstanceName": When.NOT_REMOVED,
        "settings.diskSize": When.SMALLER,
        "settings.ipConfiguration.privateNetwork": When.REMOVED,
    },
    SUBNET: {"ipCidrRange": When.NOT_WIDER},
}
