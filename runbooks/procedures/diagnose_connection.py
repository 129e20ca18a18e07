"""diagnose-connection: which layer between here and the application's `SELECT 1` is broken, and what mends it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from runbooks.engine.findings import Finding, Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures.connection import api, credentials, login, tls, way
from runbooks.procedures.connection.probe import Probe


@dataclass(frozen=True)
class Layer:
    """One layer: what it is called when it is not tested, and its test."""

    name: str
    test: Callable[[Probe], Iterator[Finding]]


# As they are met on the way; a broken one hides all that come after it.
LAYERS = (
    Layer("the proxy", way.proxy),
    Layer("the tunnel", way.tunnel),
    Layer("gcloud's login", credentials.user),
    Layer("the application-default credentials", credentials.application),
    Layer("the Admin API", api.enabled),
    Layer("the IAM role", api.allowed),
    Layer("the instance", api.runs),
    Layer("its port", way.address),
    Layer("TLS", tls.tls),
    Layer("the logins", login.logins),
)


class Asked(Inputs):
    """Nothing."""


class Diagnosis(Output):
    """What came out.

    Attributes:
        cause: the layer that is broken, as its test is named; None when none is.
        mend: the command that mends it.
    """

    cause: str | None = None
    mend: str | None = None


def diagnose(run: Run) -> Diagnosis:
    """Test each layer up to the first that is broken."""
    probe = Probe(run.tools)
    for number, layer in enumerate(LAYERS, 1):
        run.progress(layer.name)
        for found in layer.test(probe):
            run.find(found.test, found.result, found.found, found.action)
            if found.result is Result.FAULT:
                rest = ", ".join(later.name for later in LAYERS[number:])
                if rest:
                    why = f"not tested, since it is behind what is broken: {found.test}"
                    run.find(f"What comes after: {rest}", Result.UNKNOWN, why, "mend that, and run this again")
                return Diagnosis(cause=found.test, mend=found.action)
    return Diagnosis()


def plan(run: Run) -> Change:
    """Nothing to change."""
    name = run.target.instance
    return Change(f"{len(LAYERS)} layers lie between here and {name}", "the same; the first that is broken is named")


def after(run: Run) -> list[str]:
    """The mending command."""
    diagnosis = run.done(Diagnosis)
    if diagnosis is None or diagnosis.cause is None:
        return []
    return [f"{diagnosis.mend}", "holdfast runbook run diagnose-connection, to see that it helped"]


PROCEDURE = Procedure(
    name="diagnose-connection",
    title="Find the layer on which a connection to the database fails",
    when="When the application, a proxy or a procedure does not get into the database.",
    inputs=Asked,
    steps=(Step("diagnose", diagnose, plan),),
    after=after,
)
