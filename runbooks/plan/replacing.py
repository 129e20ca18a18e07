"""The inputs whose change makes Google's resource anew.

The Python SDK does not say so: the provider's own schema does, and it is not installed. This table is of the types that
the program uses. Compared with the provider's source (ForceNew), the first two in part: the database instance, buckets,
users, Memorystore, global addresses, the private connection. The others are not: they are what names and places a
resource. An input that is not here is taken for an update, except where the program itself says replaceOnChanges.
"""

READ = "2026-11"

_PLACE = frozenset({"name", "project", "location"})
_REGION = frozenset({"name", "project", "region"})

FORCES: dict[str, frozenset[str]] = {
    "gcp:artifactregistry/repository:Repository": frozenset({"format", "location", "project", "repositoryId"}),
    "gcp:bigquery/dataset:Dataset": frozenset({"datasetId", "location", "project"}),
    "gcp:bigquery/table:Table": frozenset({"datasetId", "tableId", "project"}),
    "gcp:cloudrunv2/job:Job": _PLACE,
    "gcp:cloudrunv2/service:Service": _PLACE,
    "gcp:cloudscheduler/job:Job": _REGION,
    "gcp:compute/globalAddress:GlobalAddress": frozenset(
        {"name", "project", "address", "addressType", "network", "prefixLength", "purpose", "ipVersion", "description"}
    ),
    "gcp:compute/network:Network": frozenset({"name", "project", "autoCreateSubnetworks", "description"}),
    "gcp:compute/subnetwork:Subnetwork": frozenset({"name", "project", "region", "network", "description", "purpose"}),
    "gcp:kms/cryptoKey:CryptoKey": frozenset({"name", "keyRing", "purpose", "importOnly", "destroyScheduledDuration"}),
    "gcp:kms/keyRing:KeyRing": _PLACE,
    "gcp:projects/iAMMember:IAMMember": frozenset({"project", "role", "member", "condition"}),
    "gcp:pubsub/topic:Topic": frozenset({"name", "project"}),
    "gcp:redis/instance:Instance": frozenset(
        {
            "name",
            "project",
            "region",
            "authorizedNetwork",
            "connectMode",
            "customerManagedKey",
            "locationId",
            "alternativeLocationId",
            "reservedIpRange",
            "tier",
            "transitEncryptionMode",
        }
    ),
    "gcp:secretmanager/secret:Secret": frozenset({"project", "secretId", "replication"}),
    "gcp:secretmanager/secretVersion:SecretVersion": frozenset({"secret", "secretData", "isSecretDataBase64"}),
    "gcp:serviceaccount/account:Account": frozenset({"accountId", "project"}),
    "gcp:servicenetworking/connection:Connection": frozenset({"network", "service"}),
    "gcp:sql/database:Database": frozenset({"name", "instance", "project"}),
    "gcp:sql/databaseInstance:DatabaseInstance": frozenset(
        {
            "name",
            "project",
            "region",
            "encryptionKeyName",
            "masterInstanceName",
            "settings.collation",
            "settings.diskType",
        }
    ),
    "gcp:sql/user:User": frozenset({"name", "instance", "project", "host", "type"}),
    "gcp:storage/bucket:Bucket": frozenset(
        {"name", "project", "location", "customPlacementConfig", "hierarchicalNamespace", "enableObjectRetention"}
    ),
    "gcp:storage/bucketIAMMember:BucketIAMMember": frozenset({"bucket", "role", "member", "condition"}),
    "gcp:secretmanager/secretIamMember:SecretIamMember": frozenset(
        {"project", "secretId", "role", "member", "condition"}
    ),
}

# Those that make it anew only where the number becomes smaller.
FORCES_WHERE_SMALLER: dict[str, frozenset[str]] = {
    "gcp:sql/databaseInstance:DatabaseInstance": frozenset({"settings.diskSize"}),
}
