"""Machine types that Cloud SQL has for PostgreSQL, and how many connections each takes."""

import re
from dataclasses import dataclass
from typing import Literal

from infra.names import unknown

Edition = Literal["ENTERPRISE", "ENTERPRISE_PLUS"]

MB_PER_GB = 1024
# Of https://cloud.google.com/sql/docs/postgres/machine-series-overview, as of 2026-11.
SHARED_CORE_MB = {"db-f1-micro": 614, "db-g1-small": 1741}
CUSTOM = re.compile(r"db-custom-(\d+)-(\d+)")
MOST_CUSTOM_CPUS = 96
CUSTOM_STEP_MB = 256
LEAST_CUSTOM_MB = 3840
# Of memory, for each CPU.
CUSTOM_MB_PER_CPU = (922, 6656)
PLUS_MB = {
    **{f"db-perf-optimized-N-{cpus}": cpus * 8 * MB_PER_GB for cpus in (2, 4, 8, 16, 32, 48, 64, 80, 96)},
    "db-perf-optimized-N-128": 864 * MB_PER_GB,
    **{f"db-c4a-highmem-{cpus}": cpus * 8 * MB_PER_GB for cpus in (4, 8, 16, 32, 48, 64, 72)},
}
# The default of max_connections from so much memory on:
# https://cloud.google.com/sql/docs/postgres/flags, as of 2026-11.
CONNECTIONS = (
    (120 * MB_PER_GB, 1000),
    (60 * MB_PER_GB, 800),
    (30 * MB_PER_GB, 600),
    (15 * MB_PER_GB, 500),
    (7680, 400),
    (6 * MB_PER_GB, 200),
    (3840, 100),
    (1741, 50),
    (0, 25),
)


@dataclass(frozen=True)
class Tier:
    """A machine type.

    Args:
        name: Google's.
        edition: the only one that has it.
        memory_mb: how much memory it has.
    """

    name: str
    edition: Edition
    memory_mb: int

    @property
    def max_connections(self) -> int:
        """How many connections an instance takes when no flag says otherwise."""
        return next(most for least, most in CONNECTIONS if self.memory_mb >= least)


def tier_of(name: str) -> Tier:
    """The machine type that is called so.

    Raises:
        ValueError: there is none; says what to write.
    """
    if name in SHARED_CORE_MB:
        return Tier(name, "ENTERPRISE", SHARED_CORE_MB[name])
    if name in PLUS_MB:
        return Tier(name, "ENTERPRISE_PLUS", PLUS_MB[name])
    if match := CUSTOM.fullmatch(name):
        cpus, memory = map(int, match.groups())
        _check_custom(name, cpus, memory)
        return Tier(name, "ENTERPRISE", memory)
    message = unknown("tier", name, (*SHARED_CORE_MB, "db-custom-1-3840", "db-custom-2-7680", *PLUS_MB))
    raise ValueError(message)


def _check_custom(name: str, cpus: int, memory: int) -> None:
    least, most = (cpus * each for each in CUSTOM_MB_PER_CPU)
    if cpus < 1 or cpus > MOST_CUSTOM_CPUS or (cpus > 1 and cpus % 2):
        message = (
            f"there is no tier {name!r}: CPUs are 1 or an even number up to {MOST_CUSTOM_CPUS}; write {_near(cpus)}"
        )
    elif memory % CUSTOM_STEP_MB or memory < LEAST_CUSTOM_MB or not least <= memory <= most:
        message = (
            f"there is no tier {name!r}: {cpus} CPUs have {max(least, LEAST_CUSTOM_MB)} to {most} MB, "
            f"in steps of {CUSTOM_STEP_MB}; write {_near(cpus)}"
        )
    else:
        return
    raise ValueError(message)


def _near(cpus: int) -> str:
    usual = 1 if cpus <= 1 else min(cpus + cpus % 2, MOST_CUSTOM_CPUS)
    return f"db-custom-{usual}-{usual * LEAST_CUSTOM_MB}"
