"""An instance that a run makes beside the one that serves, and finds again when its step was cut off."""

from collections.abc import Callable

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Output
from runbooks.engine.run import Run
from runtime.cloudsql.models import Instance, Operation

# The name of an instance that failed is taken, for a week even after it is deleted.
MOST_TRIES = 5
FAILED = "FAILED"
MAKING = ("CLONE", "CREATE")


class Recovered(Output):
    """The instance that was made."""

    instance: str


def named(run: Run, what: str) -> str:
    """The name of an instance that this run makes, and of which nobody else can have one."""
    return f"{run.target.instance}-{what}-{run.short_id}"


def find(run: Run, name: str) -> Instance | None:
    """The instance of that name, if there is one: for a missing one the service answers as for a forbidden one."""
    return next((one for one in run.tools.admin.instances.list() if one.name == name), None)


def bring(run: Run, name: str, begin: Callable[[str], Operation]) -> Recovered:
    """Make an instance, or go on with the one that this step made before.

    Args:
        run: this one.
        name: of the instance; another number behind it after a failure, if the name is this run's own.
        begin: asks for it, by its name.

    Raises:
        FailedError: RECOVERY_FAILED, or Google's code.
    """
    tries = MOST_TRIES if name.endswith(run.short_id) else 1
    for candidate in (name, *(f"{name}-{number}" for number in range(2, tries + 1))):
        found = find(run, candidate)
        if found is None:
            run.wait(begin(candidate))
            found = run.instance(candidate)
        elif found.state != FAILED:
            _await(run, candidate)
            found = run.instance(candidate)
        if found.state != FAILED:
            return Recovered(instance=candidate)
        run.find(
            f"{candidate} could be made", Result.MENDED, FAILED, f"delete it: gcloud sql instances delete {candidate}"
        )
    code = "RECOVERY_FAILED"
    message = f"{name} could not be made; begin anew, and delete what is FAILED"
    raise FailedError(code, message)


def _await(run: Run, name: str) -> None:
    """Wait until an instance that is being made is there."""
    for operation in run.tools.admin.operations.list(name):
        if operation.operation_type in MAKING and not operation.is_done:
            run.wait(operation)
