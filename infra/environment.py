"""What every component knows: the stack, its settings, and how names are made."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.config import StackConfig


@dataclass(frozen=True)
class Environment:
    """One environment.

    Args:
        stack: Pulumi's name of it, as prod.
        config: its settings.
    """

    stack: str
    config: StackConfig

    def name(self, part: str) -> str:
        """The name of a part, in Pulumi and in the cloud: holdfast-PART."""
        return f"{self.config.name}-{part}"

    def bucket_name(self, part: str) -> str:
        """The name of a bucket: it is the only one of its name in the world."""
        return f"{self.config.project}-{self.name(part)}"

    @property
    def labels(self) -> Mapping[str, str]:
        """Of every resource that takes labels. The provider adds them."""
        return {"application": self.config.name, "environment": self.stack, **self.config.labels}
