"""Machine types that instances can have."""

from runbooks.sandbox.sql import rules
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.resources import REGION
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

MB = 1024**2
TB = 1024**4
SHARED_CORE_MB = {"db-f1-micro": 614, "db-g1-small": 1741}
CUSTOM_CPUS = (1, 2, 4, 8, 16, 32, 64, 96)
CUSTOM_MB_PER_CPU = 3840
PERF_CPUS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)


def list_(sql: Sql, call: Call) -> Document:  # noqa: ARG001  # every handler takes both
    """`tiers.list`: of both editions. Of the custom ones those with the usual memory; others are taken too."""
    memory = {
        **SHARED_CORE_MB,
        **{f"db-custom-{cpus}-{cpus * CUSTOM_MB_PER_CPU}": cpus * CUSTOM_MB_PER_CPU for cpus in CUSTOM_CPUS},
        **{f"db-perf-optimized-N-{cpus}": cpus * rules.PERF_MB_PER_CPU for cpus in PERF_CPUS},
    }
    items = [
        {
            "kind": "sql#tier",
            "tier": tier,
            "RAM": str(megabytes * MB),
            "DiskQuota": str((3 if tier in SHARED_CORE_MB else 64) * TB),
            "region": [REGION],
        }
        for tier, megabytes in memory.items()
    ]
    return {"kind": "sql#tiersList", "items": items}
