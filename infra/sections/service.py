"""The API on Cloud Run."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from infra.sections.base import Section

IMAGE = r"^[a-z0-9.-]+(/[a-zA-Z0-9._-]+)+@sha256:[0-9a-f]{64}$"
EXAMPLE = "us-central1-docker.pkg.dev/PROJECT/holdfast-images/runtime@sha256:DIGEST"
# What Cloud Run gives to so many CPUs, in MB; its second execution environment wants 512.
MEMORY_MB = {1: (512, 4096), 2: (512, 8192), 4: (2048, 16384), 8: (4096, 32768)}
ORIGIN = r"^https://[a-z0-9.-]+(:[0-9]+)?$"
# Who signs the tokens of Google's service accounts, and of everybody else at Google.
GOOGLE = "https://accounts.google.com"
DOMAIN = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$"


def _cpus(value: int) -> int:
    if value not in MEMORY_MB:
        message = f"Cloud Run has no {value} CPUs; write one of {', '.join(map(str, MEMORY_MB))}"
        raise ValueError(message)
    return value


def _not_everybodys(value: str) -> str:
    if value == GOOGLE:
        message = f"{GOOGLE} gives anyone in the world a token; write your own project's"
        raise ValueError(message)
    return value


class ArmorConfig(Section):
    """Cloud Armor, before the load balancer."""

    requests_per_minute: int = Field(default=6000, ge=60, description="Of one address; then it is banned.")
    ban_seconds: int = Field(default=300, ge=60, le=86400)
    adaptive_protection: bool = Field(default=False, description="Against floods; wants Cloud Armor Enterprise.")


class TokenIssuer(Section):
    """Whose users may come with a token, beside the schedule: each of them has the scopes."""

    issuer: Annotated[str, AfterValidator(_not_everybodys)] = Field(
        pattern=r"^https://[^\s?#]+$", examples=["https://securetoken.google.com/PROJECT"]
    )
    audience: str = Field(min_length=1)
    scopes: tuple[Annotated[str, Field(pattern=r"^[a-z]+:[a-z]+$")], ...] = Field(
        min_length=1, examples=["utxoiq:read"]
    )


class ServiceConfig(Section):
    """Revisions, instances and connections."""

    image: str | None = Field(
        default=None, pattern=IMAGE, examples=[EXAMPLE], description="By digest. Without one the base is built."
    )
    canary_image: str | None = Field(default=None, pattern=IMAGE, examples=[EXAMPLE])
    canary_percent: int = Field(default=0, ge=0, le=99, description="Of the traffic, to canary_image.")
    images_kept: int = Field(default=20, ge=2, le=1000, description="The newest, however old.")
    image_days: int = Field(default=90, ge=7, le=3650, description="After which the others are deleted.")
    cpus: Annotated[int, AfterValidator(_cpus)] = 2
    memory_mb: int = Field(default=2048, ge=512, le=32768)
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
    armor: ArmorConfig = ArmorConfig()
    token_issuers: tuple[TokenIssuer, ...] = ()
    cors_origins: tuple[Annotated[str, Field(pattern=ORIGIN)], ...] = Field(
        default=(), examples=["https://app.example.com"], description="Whose pages may call the API from a browser."
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
