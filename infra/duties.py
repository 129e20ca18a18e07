"""Who does what: a service account for each duty, and nobody has two."""

from enum import StrEnum


class Duty(StrEnum):
    """What a program is there for. Its value ends the service account's name."""

    API = "api"
    MIGRATE = "migrate"
    JOBS = "jobs"
    VERIFY = "verify"
    SCHEDULE = "schedule"
