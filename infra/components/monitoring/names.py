"""What the variables of `infra.monitoring` stand for in this environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

import pulumi

from infra.monitoring.series import variables


@dataclass(frozen=True)
class Names:
    """Names by variable.

    Args:
        known: those that there are; some only the cloud knows.
    """

    known: Mapping[str, pulumi.Input[str]]

    def have(self, text: str) -> bool:
        """Whether all that a text speaks of is there."""
        return variables(text) <= self.known.keys()

    def fill(self, text: str) -> pulumi.Output[str]:
        """A text with names in place of variables."""
        wanted = {name: self.known[name] for name in sorted(variables(text))}
        return pulumi.Output.all(**wanted).apply(lambda names: Template(text).substitute(names))

    def plus(self, **more: pulumi.Input[str]) -> "Names":
        """These, and more."""
        return Names({**self.known, **more})
