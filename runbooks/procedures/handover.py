"""The last steps of a recovery into another instance: applications are sent there, once it is known to be sound."""

import datetime as dt

from pydantic import AwareDatetime, Field

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output
from runbooks.engine.run import Run
from runbooks.procedures import cutover, gate
from runbooks.procedures.recovered import Recovered


class Handover(Inputs):
    """What is asked of every recovery."""

    cut_over: bool = Field(
        default=True, description="no: end when the new instance is verified, and send no application to it"
    )
    accept_unknown: bool = Field(
        default=False, description="yes: send applications there even if a test could not be made"
    )


class Verified(Output):
    """The instance is sound, as far as it could be tested.

    Attributes:
        unknown: the tests that could not be made.
    """

    at: AwareDatetime
    unknown: tuple[str, ...]


def verified(run: Run) -> Verified:
    """What a step that verified hands on, with the time that it took until here."""
    now = dt.datetime.now(dt.UTC)
    run.measured(rto_seconds=(now - run.started_at).total_seconds())
    return Verified(at=now, unknown=tuple(one.test for one in run.findings if one.result is Result.UNKNOWN))


def is_sent(run: Run) -> bool:
    """Whether applications are to be sent to the new instance."""
    return run.inputs(Handover).cut_over


def cut_over(run: Run) -> None:
    """Send the applications to the new instance."""
    instance, unknown = run.output(Recovered).instance, run.output(Verified).unknown
    if unknown and not run.inputs(Handover).accept_unknown:
        code = "UNVERIFIED"
        message = (
            f"{instance} is there, and this could not be tested: {'; '.join(unknown)}. Look at it yourself; "
            "to send applications to such an instance all the same, begin anew with accept_unknown=yes"
        )
        raise FailedError(code, message)
    cutover.send_applications(run, instance)


def plan_cut_over(run: Run) -> Change:
    """Whom it would send."""
    return Change(f"{cutover.to_send(run)}: at {run.target.instance}", "at the new instance")


def serve(run: Run) -> None:
    """See that each application comes in by what its secret says."""
    cutover.see_applications_in(run, run.output(Recovered).instance)
    gate.note_time(run)


def plan_serve(_: Run) -> Change:
    """What would be known."""
    return Change("not known whether applications come in", "each one came in and read")


def passwords(run: Run) -> None:
    """Give the logins there the passwords that they have now."""
    cutover.give_passwords(run, run.output(Recovered).instance)


def plan_passwords(_: Run) -> Change:
    """Which they would be."""
    return Change("passwords as they were when the data was", "those of now")
