"""What a month may cost."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from infra.sections.base import Section


class BudgetConfig(Section):
    """An alert; nothing is turned off."""

    billing_account: str | None = Field(
        default=None,
        pattern=r"^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$",
        examples=["01AB23-CD45EF-678901"],
        description="Without one there is no alert.",
    )
    monthly_usd: int = Field(default=500, ge=1)
    thresholds: tuple[Annotated[float, Field(gt=0, le=2)], ...] = Field(default=(0.5, 0.9, 1.0), min_length=1)

    def faults(self) -> Iterator[str]:
        """What does not go together."""
        if len(set(self.thresholds)) < len(self.thresholds):
            yield f"thresholds: {list(self.thresholds)} has one twice; write each once"
