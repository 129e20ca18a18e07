"""What Cloud Run runs to its end, and when."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from infra.sections.base import Section
from infra.sections.service import EXAMPLE, IMAGE

# Of minutes, hours, days, months and days of the week.
CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
PART = re.compile(r"(\*|\d+(-\d+)?)(/\d+)?")


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) != len(CRON) or not all(map(_is_within, fields, CRON)):
        message = f"{value!r} is no schedule; write MINUTE HOUR DAY MONTH WEEKDAY in UTC, as '0 3 * * 0'"
        raise ValueError(message)
    return value


def _is_within(field: str, bounds: tuple[int, int]) -> bool:
    parts = field.split(",")
    if not all(map(PART.fullmatch, parts)):
        return False
    steps = [int(part.partition("/")[2] or 1) for part in parts]
    ends = [int(number) for part in parts for number in re.findall(r"\d+", part.partition("/")[0])]
    return all(steps) and all(bounds[0] <= end <= bounds[1] for end in ends)


Cron = Annotated[str, AfterValidator(_cron)]


class JobConfig(Section):
    """One job."""

    command: str = Field(pattern=r"^[a-z][a-z-]*$", examples=["partitions"], description="Of python -m runtime.")
    options: tuple[Annotated[str, Field(pattern=r"^--[a-z]")], ...] = Field(
        default=(), examples=["--apply"], description="Of the command."
    )
    schedule: Cron | None = Field(default=None, description="UTC; without one a release or a person starts it.")
    timeout_seconds: int = Field(default=600, ge=1, le=86400)
    retries: int = Field(default=0, ge=0, le=10)
    memory_mb: int = Field(default=512, ge=512, le=4096, description="Beside one CPU.")
    connections: int = Field(default=1, ge=0, le=10, description="That it holds at most.")


class MigrateConfig(JobConfig):
    """What a release begins with."""

    image: str | None = Field(
        default=None,
        pattern=IMAGE,
        examples=[EXAMPLE],
        description="Whose schema the database has, where a newer release was given up.",
    )
    attempt: int = Field(
        default=1, ge=1, description="One more, when the migration of an image failed and is to be run again."
    )

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.schedule is not None:
            yield "schedule: a release starts the migration, and no clock; take it out"


class JobsConfig(Section):
    """The runtime's commands that are jobs."""

    migrate: MigrateConfig = MigrateConfig(command="migrate", timeout_seconds=3600)
    partitions: JobConfig = JobConfig(command="partitions", schedule="30 0 * * *", retries=3)
    forget_idempotency_keys: JobConfig = JobConfig(
        command="forget-idempotency-keys", options=("--apply",), schedule="15 * * * *", retries=3
    )
    # An execution a minute would be most of what the jobs cost. A minute more or less of where the data ends is not.
    recovery_marker: JobConfig = JobConfig(command="recovery-marker", schedule="*/5 * * * *", timeout_seconds=180)
    # It says by its code that a backup failed: a second try would restore it once more.
    verify_backup: JobConfig = JobConfig(
        command="verify-backup", schedule="0 3 * * 0", timeout_seconds=10800, memory_mb=1024, connections=2
    )
    publish_metrics: JobConfig = JobConfig(command="publish-metrics", schedule="*/15 * * * *", timeout_seconds=300)

    @model_validator(mode="before")
    @classmethod
    def _over_the_defaults(cls, values: object) -> object:
        """What a stack says of a job leaves the rest of it as it was."""
        if not isinstance(values, Mapping):
            return values
        usual = {name: field.default.model_dump() for name, field in cls.model_fields.items()}
        return {
            name: {**usual.get(name, {}), **value} if isinstance(value, Mapping) else value
            for name, value in values.items()
        }

    @property
    def all(self) -> dict[str, JobConfig]:
        """Each by its name."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def connections(self) -> int:
        """What they hold when all of them run at once."""
        return sum(job.connections for job in self.all.values())
