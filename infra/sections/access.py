"""Who comes in: people, by group."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from infra.sections.base import Section

Member = Annotated[str, Field(pattern=r"^(user|group|serviceAccount):[^@\s]+@[^@\s]+$")]


class AccessConfig(Section):
    """Operators, and the bastion by which they reach the database."""

    operators: tuple[Member, ...] = Field(default=(), examples=["group:oncall@example.com"])
    bastion: bool = Field(default=False, description="A machine without a public address, reached by IAP.")
    bastion_machine: str = Field(default="e2-micro", pattern=r"^[a-z][a-z0-9]*-[a-z0-9-]+$")
    bastion_zone: str = Field(
        default="b", pattern=r"^[a-z]$", examples=["b"], description="Of the region's, its letter; some have no a."
    )

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if self.bastion and not self.operators:
            yield "bastion: nobody may use it; write operators, as group:oncall@example.com, or bastion: false"
        if twice := sorted({member for member in self.operators if self.operators.count(member) > 1}):
            yield f"operators: {twice[0]} is there twice; write each once"
