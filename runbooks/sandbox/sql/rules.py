"""What an instance's settings may be, and what they are when nobody says."""

import copy
import re
from http import HTTPStatus

from runbooks.sandbox.sql.errors import ApiError, invalid_operation, invalid_request
from runbooks.sandbox.store import Document

VERSIONS = {"POSTGRES_16": 16, "POSTGRES_18": 18}
NAME = re.compile(r"[a-z]([a-z0-9-]{0,95}[a-z0-9])?")
PLUS = "ENTERPRISE_PLUS"
PLUS_TIER = re.compile(r"db-(perf-optimized-N|c4a-highmem|memory-optimized)-\d+")
ENTERPRISE_TIER = re.compile(r"db-(f1-micro|g1-small|custom-\d+-\d+|n1-\w+-\d+)")
PERF_TIER = re.compile(r"db-perf-optimized-N-(\d+)")
CUSTOM_TIER = re.compile(r"db-custom-\d+-(\d+)")
LOG_DAYS = {PLUS: 35, "ENTERPRISE": 7}
DEFAULTS: Document = {
    "kind": "sql#settings",
    "activationPolicy": "ALWAYS",
    "availabilityType": "ZONAL",
    "pricingPlan": "PER_USE",
    "dataDiskType": "PD_SSD",
    "dataDiskSizeGb": "10",
    "storageAutoResize": True,
    "connectorEnforcement": "NOT_REQUIRED",
    "deletionProtectionEnabled": False,
    "backupConfiguration": {
        "kind": "sql#backupConfiguration",
        "enabled": False,
        "startTime": "04:00",
        "pointInTimeRecoveryEnabled": False,
        "transactionLogRetentionDays": 7,
        "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": 7},
    },
    "ipConfiguration": {"ipv4Enabled": True, "sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED", "requireSsl": False},
    "locationPreference": {"kind": "sql#locationPreference", "zone": "us-central1-a"},
}
INT64 = ("dataDiskSizeGb", "storageAutoResizeLimit", "dataDiskProvisionedIops", "dataDiskProvisionedThroughput")
# The state survives whatever happens to processes. That of a rehearsal need not survive the machine's own end.
UNSAFE = {"fsync": "off"}
# Memory in MB and the connections that such an instance has when no flag says otherwise, as Google's table.
CONNECTIONS = ((120_000, 1000), (60_000, 800), (30_000, 600), (15_000, 500), (7_500, 400), (6_000, 200), (3_750, 100))
SHARED_CORE_CONNECTIONS = {"db-f1-micro": 25, "db-g1-small": 50}
PERF_MB_PER_CPU = 8192


def check_name(name: str) -> None:
    """See that an instance may be called so.

    Raises:
        ApiError: it may not.
    """
    if not NAME.fullmatch(name):
        message = (
            f"Invalid instance name ({name}). It must begin with a lowercase letter, have lowercase letters, digits "
            "and hyphens only, and at most 97 characters."
        )
        raise invalid_request(message)


def version_of(resource: Document) -> int:
    """PostgreSQL's major version of an instance.

    Raises:
        ApiError: the sandbox has no such database.
    """
    given = resource.get("databaseVersion", "POSTGRES_18")
    if given not in VERSIONS:
        message = f"the sandbox has databaseVersion {' and '.join(VERSIONS)}, not {given}."
        raise invalid_request(message)
    return VERSIONS[given]


def newer(version: str) -> list[Document]:
    """The versions that an instance of one can be upgraded to."""
    return [
        {"majorVersion": name, "name": name, "displayName": f"PostgreSQL {number}"}
        for name, number in VERSIONS.items()
        if number > VERSIONS[version]
    ]


def completed(settings: Document) -> Document:
    """Settings with Google's defaults for what was not said."""
    # Nobody says the edition: from PostgreSQL 16 on that is Enterprise Plus.
    return merged(copy.deepcopy(DEFAULTS) | {"edition": PLUS}, written(settings))


def written(settings: Document) -> Document:
    """Settings as Google writes them, which callers may write as numbers."""
    return {name: str(value) if name in INT64 and type(value) is int else value for name, value in settings.items()}


def check(settings: Document, *, is_replica: bool = False) -> None:
    """See that settings go together.

    Raises:
        ApiError: they do not.
    """
    edition, tier = settings.get("edition", PLUS), settings.get("tier", "")
    if not tier:
        message = "Missing parameter: settings.tier."
        raise invalid_request(message)
    if not (PLUS_TIER if edition == PLUS else ENTERPRISE_TIER).fullmatch(tier):
        message = f"Invalid Tier ({tier}) for ({edition}) Edition."
        if edition == PLUS:
            message += " Use a predefined Tier like db-perf-optimized-N-* instead."
        raise invalid_request(message)
    if edition != PLUS:
        for needs, is_wanted in (
            ("Data cache", settings.get("dataCacheConfig", {}).get("dataCacheEnabled")),
            ("Managed connection pooling", settings.get("connectionPoolConfig", {}).get("connectionPoolingEnabled")),
        ):
            if is_wanted:
                message = f"{needs} is only supported for the Enterprise Plus edition."
                raise invalid_request(message)
    backups = settings.get("backupConfiguration", {})
    if backups.get("pointInTimeRecoveryEnabled") and not backups.get("enabled") and not is_replica:
        message = "Point in time recovery needs backups to be enabled."
        raise invalid_request(message)
    if settings.get("availabilityType") == "REGIONAL" and not is_replica and not backups.get("enabled"):
        message = "High availability needs automated backups and point in time recovery to be enabled."
        raise invalid_request(message)
    most = LOG_DAYS.get(edition, 7)
    if not 1 <= backups.get("transactionLogRetentionDays", 1) <= most:
        message = f"transactionLogRetentionDays must be from 1 to {most} for the {edition} edition."
        raise invalid_request(message)


def require_plus(resource: Document, what: str) -> None:
    """See that an instance is of the edition that has this.

    Raises:
        ApiError: it is not.
    """
    if resource["settings"].get("edition") != PLUS:
        message = f"{what} is only supported for the Enterprise Plus edition."
        raise invalid_operation(message)


def flags_of(resource: Document) -> dict[str, str]:
    """PostgreSQL's settings of an instance: its tier's and its own flags."""
    settings = resource["settings"]
    own = {flag["name"]: flag.get("value", "on") for flag in settings.get("databaseFlags", [])}
    return {**UNSAFE, "max_connections": str(connections_of(settings["tier"])), **own}


def check_flags(settings: Document, known: frozenset[str]) -> None:
    """See that PostgreSQL knows the flags.

    Raises:
        ApiError: it does not know one.
    """
    for flag in settings.get("databaseFlags", []):
        name = flag.get("name", "")
        # Extensions define theirs when they are loaded.
        if name.lower() not in known and "." not in name:
            message = f"Invalid flag name: {name}."
            raise ApiError(HTTPStatus.BAD_REQUEST, "invalidFlagName", message)


def connections_of(tier: str) -> int:
    """How many connections a tier allows."""
    if tier in SHARED_CORE_CONNECTIONS:
        return SHARED_CORE_CONNECTIONS[tier]
    memory = 0
    if match := CUSTOM_TIER.fullmatch(tier):
        memory = int(match[1])
    elif match := PERF_TIER.fullmatch(tier):
        memory = int(match[1]) * PERF_MB_PER_CPU
    return next((most for least, most in CONNECTIONS if memory >= least), 50)


def merged(old: Document, new: Document) -> Document:
    """A document changed as PATCH does: objects are merged, all else is replaced, null removes."""
    result = dict(old)
    for name, value in new.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = value
    return result
