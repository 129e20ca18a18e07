"""The cache: Memorystore for Redis."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from infra.sections.base import Section

REPLICATED_GB = 5


class CacheConfig(Section):
    """One instance. AUTH and TLS are always on: Memorystore's own defaults are neither."""

    tier: Literal["STANDARD_HA", "BASIC"] = "STANDARD_HA"
    memory_gb: int = Field(default=5, ge=1, le=300)
    version: Literal["REDIS_7_2", "REDIS_7_0"] = "REDIS_7_2"
    eviction: Literal["allkeys-lru", "volatile-lru", "allkeys-lfu", "volatile-lfu"] = "allkeys-lru"
    read_replicas: int = Field(default=0, ge=0, le=5)

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.read_replicas and (self.tier == "BASIC" or self.memory_gb < REPLICATED_GB):
            yield (
                f"read_replicas: need STANDARD_HA and {REPLICATED_GB} GB at least; "
                "write tier and memory_gb so, or read_replicas: 0"
            )
