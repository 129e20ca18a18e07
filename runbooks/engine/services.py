"""Cloud Run's services, as far as procedures need them: a new revision, which reads its secrets anew."""

from google.cloud import run_v2
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]  # it has no types

from runbooks.engine.cloud import ERRORS, options, why
from runbooks.engine.errors import FailedError
from runbooks.engine.tools import Tools

SECONDS = 30.0
# An image that was never pulled where it starts, and the probes of a new revision.
ROLL_SECONDS = 600.0
# Of a revision: which run asked for it.
MARK = "holdfast-rolled-by"


def roll(tools: Tools, service: str, mark: str) -> str:
    """Let a service start anew, and wait until it serves. One that did so for the same mark is left as it is.

    Args:
        tools: the target's.
        service: as `projects/p/locations/l/services/s`.
        mark: why, as a run's id.

    Returns:
        The name of the revision that serves.

    Raises:
        FailedError: SERVICE_NOT_ROLLED, it is missing, or its new revision does not serve.
    """
    client = run_v2.ServicesClient(**options(tools.target.endpoints.run))
    try:
        present = client.get_service(name=service, timeout=SECONDS)
        if present.template.annotations.get(MARK) != mark:
            tools.permissions.require("run.services.patch")
            present.template.annotations[MARK] = mark
            # A name is used once only: the next revision gets its own.
            present.template.revision = ""
            rolling = client.update_service(service=present, update_mask=FieldMask(paths=["template"]), timeout=SECONDS)
            present = rolling.result(timeout=ROLL_SECONDS)  # type: ignore[no-untyped-call]  # Google's client leaves it untyped
        return _serving(present)
    except ERRORS as error:
        raise _not_rolled(service, f"{why(error)}; check its name, and roles/run.developer") from None
    finally:
        client.transport.close()  # type: ignore[no-untyped-call]  # Google's client leaves it untyped


def _serving(service: run_v2.Service) -> str:
    condition = service.terminal_condition
    newest = service.latest_created_revision
    if condition.state != run_v2.Condition.State.CONDITION_SUCCEEDED or newest != service.latest_ready_revision:
        raise _not_rolled(
            service.name, f"{newest or 'no revision'}: {condition.state.name} {condition.message}".strip()
        )
    return str(newest).rpartition("/")[2]


def _not_rolled(service: str, reason: str) -> FailedError:
    code = "SERVICE_NOT_ROLLED"
    message = f"{service}: {reason}"
    return FailedError(code, message)
