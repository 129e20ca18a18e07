"""What the tests of the layers share: the target, what was learned so far, and how a test's outcome is told."""

import shlex
from dataclasses import dataclass
from functools import partial

from runbooks.engine.findings import Finding, Result
from runbooks.engine.target import Target
from runbooks.engine.tools import Tools
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import Instance

# For each thing that is asked, so that a network that loses everything is noticed soon.
SECONDS = 5.0


@dataclass
class Probe:
    """A diagnosis under way. It only reads.

    Attributes:
        tools: the target's services and database.
        member: who the application-default credentials are, as IAM names them; a command that says it if need be.
        instance: once the Admin API has shown it.
        refusal: why the Admin API did not show it.
    """

    tools: Tools
    member: str = '"user:$(gcloud config get-value account)"'
    instance: Instance | None = None
    refusal: CloudSqlError | None = None

    @property
    def target(self) -> Target:
        """Where."""
        return self.tools.target

    @property
    def connection_name(self) -> str:
        """What a proxy is given."""
        return f"{self.target.project}:{self.target.region}:{self.target.instance}"

    @property
    def stack(self) -> str:
        """What `holdfast connect` is given."""
        return self.target.stack or self.target.name

    def gcloud(self, *words: str) -> str:
        """A command on the target's project, which a shell can read."""
        return shlex.join(("gcloud", *words, f"--project={self.target.project}"))


def _finding(result: Result, test: str, found: str, action: str = "") -> Finding:
    return Finding(test=test, result=result, found=found, action=action)


ok = partial(_finding, Result.OK)
fault = partial(_finding, Result.FAULT)
unknown = partial(_finding, Result.UNKNOWN)
