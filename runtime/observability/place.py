"""Whose series they are, in Cloud Monitoring, and what is said when they cannot be written."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from runtime.errors import HoldfastError
from runtime.settings import Settings

# Of one series, as Google takes them: five seconds, and the moments are rounded.
APART_SECONDS = 6.0


class PublishingError(HoldfastError):
    """Cloud Monitoring did not take what was to be written.

    Attributes:
        reason: one word, for callers; the message has Google's own, for the log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        line = " ".join(detail.split())[:500]
        super().__init__(f"Cloud Monitoring: {reason}: {line}" if line else f"Cloud Monitoring: {reason}")
        self.reason = reason


@dataclass(slots=True, frozen=True)
class Place:
    """A task, as Google calls what writes metrics; it tells one's series from another's.

    Attributes:
        job: the program.
        task_id: one of those that run it at once.
        endpoint: HOST:PORT of a service on this machine; None for Google's.
    """

    RESOURCE: ClassVar = "generic_task"

    project: str
    location: str
    namespace: str
    job: str
    task_id: str
    endpoint: str | None

    @classmethod
    def of(cls, settings: Settings, *, job: str, task_id: str | None = None) -> Self | None:
        """As the settings have it; None when they name no project.

        Args:
            settings: the environment's.
            job: the program.
            task_id: by default the instance's, or one made up if it has none.
        """
        if settings.google_cloud_project is None:
            return None
        return cls(
            settings.google_cloud_project,
            settings.google_cloud_region,
            settings.k_service,
            job,
            task_id or settings.metrics_instance or new_instance_id(),
            settings.cloud_monitoring_endpoint,
        )

    @property
    def labels(self) -> Mapping[str, str]:
        """The resource's labels."""
        return {
            "project_id": self.project,
            "location": self.location,
            "namespace": self.namespace,
            "job": self.job,
            "task_id": self.task_id,
        }


def new_instance_id() -> str:
    """A name that no other instance has."""
    return secrets.token_hex(8)
