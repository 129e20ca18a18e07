"""The tokens with which a job runs as soon as it is made or changed."""

from dataclasses import dataclass

from runbooks.sandbox.services.calls import Document, exists, ident
from runbooks.sandbox.services.errors import invalid
from runbooks.sandbox.services.run_resources import RunResources

RUN = "runExecutionToken"
START = "startExecutionToken"
TOKENS = (RUN, START)
# Of the job's name and the token together.
LONGEST = 62


@dataclass(frozen=True)
class Token:
    """What a job asks for.

    Args:
        execution: the name of the one that begins.
        waits: whether the job is ready when that has succeeded, rather than when it has started.
    """

    execution: str
    waits: bool


def token_of(job: Document, executions: RunResources) -> Token | None:
    """What a job asks for, seen to be possible; None when it only changes.

    Raises:
        ServiceError: both tokens, one that cannot be part of a name, or one that was used: Google refuses it too,
            https://github.com/GoogleCloudPlatform/magic-modules/pull/19060.
    """
    given = [name for name in TOKENS if job.get(name)]
    if not given:
        return None
    if len(given) > 1:
        message = f"job: only one of {RUN} and {START} may be set"
        raise invalid(message)
    own = job["name"].rpartition("/")[2]
    suffix = job[given[0]]
    ident(suffix, "[a-z0-9]([a-z0-9-]*[a-z0-9])?", f"job.{given[0]}")
    if len(own) + len(suffix) > LONGEST:
        message = f"job.{given[0]}: with the job's name it must be fewer than {LONGEST + 1} characters"
        raise invalid(message)
    execution = f"{job['name']}/executions/{own}-{suffix}"
    if executions.find(execution) is not None:
        message = f"Resource '{own}-{suffix}' already exists."
        raise exists(message)
    return Token(execution, given[0] == RUN)
