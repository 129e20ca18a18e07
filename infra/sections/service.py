"""The API on Cloud Run."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from infra.sections.base import Section

IMAGE = r"^[a-z0-9.-]+(/[a-zA-Z0-9._-]+)+@sha256:[0-9a-f]{64}$"
EXAMPLE = "us-central1-docker.pkg.dev/PROJECT/holdfast/runtime@sha256:DIGEST"
# What Cloud Run gives at most to so many CPUs, in MB.
MEMORY_MB = {1: (128, 4096), 2: (128, 8192), 4: (2048, 16384), 8: (4096, 32768)}
DOMAIN = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$"


def _cpus(value: int) -> int:
    if value not in MEMORY_MB:
        message = f"Cloud Run has no {value} CPUs; write one of {', '.join(map(str, MEMORY_MB))}"
        raise ValueError(message)
    return value


class ServiceConfig(Section):
    """Revisions, instances and connections."""

    image: str | None = Field(
        default=None, pattern=IMAGE, examples=[EXAMPLE], description="By digest. Without one the base is built."
    )
    canary_image: str | None = Field(default=None, pattern=IMAGE, examples=[EXAMPLE])
    canary_percent: int = Field(default=0, ge=0, le=99, description="Of the traffic, to canary_image.")
    cpus: Annotated[int, AfterValidator(_cpus)] = 2
    memory_mb: int = Field(default=2048, ge=128, le=32768)
    concurrency: int = Field(default=80, ge=1, le=1000, description="Requests at once in one instance.")
    min_instances: int = Field(default=1, ge=0, le=100)
    max_instances: int = Field(default=10, ge=1, le=100, description="Of all revisions together.")
    workers: int = Field(default=2, ge=1, le=64, description="Processes of one instance.")
    pool_min: int = Field(default=10, ge=1)
    pool_max: int = Field(default=30, ge=1, description="Connections of one instance, split over its workers.")
    request_timeout_seconds: int = Field(default=30, ge=1, le=300)
    load_balancer: bool = Field(default=True, description="External, with Cloud Armor; direct ingress is closed.")
    domain: str | None = Field(
        default=None, pattern=DOMAIN, examples=["api.example.com"], description="Whose certificate the balancer has."
    )

    @property
    def connections(self) -> int:
        """What all instances together may hold."""
        return self.max_instances * self.pool_max

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.min_instances > self.max_instances:
            yield f"min_instances: {self.min_instances} is more than max_instances, {self.max_instances}; write less"
        if self.pool_min > self.pool_max:
            yield f"pool_min: {self.pool_min} is more than pool_max, {self.pool_max}; write less"
        if self.workers > self.pool_max:
            yield f"workers: {self.workers} cannot share pool_max, {self.pool_max}; write at most {self.pool_max}"
        least, most = MEMORY_MB[self.cpus]
        if not least <= self.memory_mb <= most:
            yield f"memory_mb: Cloud Run gives {self.cpus} CPUs {least} to {most} MB, not {self.memory_mb}; write that"
        if self.load_balancer and self.domain is None:
            yield "domain: the load balancer's certificate is for one; write it, or load_balancer: false"
        if bool(self.canary_percent) != bool(self.canary_image):
            yield "canary_percent: a canary has both canary_image and a share of the traffic; write both, or neither"
        if self.canary_image and not self.image:
            yield "canary_image: there is no image that it stands beside; write image"
