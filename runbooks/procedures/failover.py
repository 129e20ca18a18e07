"""failover: the standby takes over, while a prober sees how long nobody can write and whether anything is lost."""

import time

from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import cutover, reconcile
from runbooks.procedures.preconditions import instance_serves, no_operation_runs
from runbooks.procedures.prober import Prober, Write
from runtime.cloudsql.models import Instance, Operation

KIND = "FAILOVER"
# Before the call. One that cannot be written to is failed over all the same.
WRITES, WRITES_SECONDS = 3, 10.0
# As long as nobody may write before something else is wrong.
SILENCE_SECONDS = 600.0
# The address serves long before the next standby is there.
STANDBY_SECONDS = 900.0
POLL_SECONDS = 0.1
LOST = """SELECT acknowledged.id FROM unnest(%s) AS acknowledged (id)
WHERE NOT EXISTS (SELECT FROM recovery_markers WHERE recovery_markers.id = acknowledged.id::uuid)"""
IS_STANDBY = "SELECT pg_is_in_recovery()"


class Asked(Inputs):
    """Nothing is asked."""


class Before(Output):
    """The instance before.

    Attributes:
        known: the failovers that there were already.
    """

    zone: str
    standby_zone: str
    addresses: tuple[str, ...]
    known: tuple[str, ...]


class Seen(Output):
    """What the prober saw.

    Attributes:
        acknowledged: its writes until the other server took over; None when the step was cut off.
        lost: how many of them are not there.
    """

    acknowledged: int | None
    lost: int


def has_a_standby(run: Run) -> None:
    """The instance is REGIONAL, and its standby is there."""
    if run.done(Before) is not None:
        return
    instance = run.instance()
    name, kind = instance.name, instance.settings.availability_type
    run.require(
        f"{name} is REGIONAL",
        kind or "not said",
        f"it has no standby. If it serves: gcloud sql instances patch {name} --availability-type=REGIONAL, which "
        "restarts it; if not: holdfast runbook run point-in-time-recovery",
        holds=kind == "REGIONAL",
    )
    zone = _standby_zone(instance)
    run.require(
        f"{name} has a standby",
        f"in {zone}" if zone else "it is gone",
        f"the service makes it anew: gcloud sql operations list --instance={name}; if the instance does not serve: "
        "holdfast runbook run point-in-time-recovery",
        holds=zone is not None,
    )


def is_free(run: Run) -> None:
    """The instance serves, and no operation runs on it."""
    if run.done(Before) is None:
        instance_serves(run)
        no_operation_runs(run)


def survey(run: Run) -> Before:
    """See where the instance and its standby are."""
    instance = run.instance()
    before = Before(
        zone=instance.gce_zone or "",
        standby_zone=_standby_zone(instance) or "",
        addresses=_addresses(instance),
        known=tuple(one.name for one in _failovers(run)),
    )
    run.find(f"Where {instance.name} is", Result.OK, f"in {before.zone}, its standby in {before.standby_zone}")
    return before


def fail_over(run: Run) -> Seen:
    """Let the standby take over, and write meanwhile."""
    begun = _begun(run)
    with Prober(run) as prober:
        if begun is not None:
            run.wait(begun)
            prober.first_of_another(set(), seconds=SILENCE_SECONDS)
            return _cut_off(run, begun)
        prober.written(WRITES, seconds=WRITES_SECONDS)
        before = {one.server for one in prober.writes}
        called = time.monotonic()
        run.wait(run.tools.admin.instances.failover(run.target.instance))
        first = prober.first_of_another(before, seconds=SILENCE_SECONDS)
    return _judged(run, prober.writes, called, first)


def verify(run: Run) -> None:
    """See that the instance serves from the other zone, at its address, with a new standby."""
    before, name = run.output(Before), run.target.instance
    instance = _with_standby(run)
    _judge(
        run,
        f"{name} is RUNNABLE",
        instance.state,
        "holdfast runbook run diagnose-connection",
        instance.state == "RUNNABLE",
    )
    there = instance.gce_zone or ""
    _judge(run, "It serves from the standby's zone", there, "gcloud sql operations list", there == before.standby_zone)
    addresses = _addresses(instance)
    _judge(
        run,
        "Its address is the same",
        ", ".join(addresses),
        "give applications the new one: it is in their secrets",
        addresses == before.addresses,
    )
    [(is_standby,)] = run.tools.query(IS_STANDBY)
    _judge(run, "It takes writes", "no" if is_standby else "yes", "wait, and run diagnose-connection", not is_standby)
    zone = _standby_zone(instance)
    action = f"until then nothing takes over for it: gcloud sql operations list --instance={name}"
    _judge(run, "There is a new standby", f"in {zone}" if zone else "it is gone", action, zone is not None)
    cutover.see_applications_in(run, name)


def after(run: Run) -> list[str]:
    """What is left to do."""
    return [
        f"To go back to {run.output(Before).zone}, which nothing needs: holdfast runbook run failover",
        *reconcile.with_refresh(run),
    ]


def _begun(run: Run) -> Operation | None:
    """The failover that this step asked for before it was cut off, unless it failed."""
    known = run.output(Before).known
    return next((one for one in _failovers(run) if one.name not in known and one.error is None), None)


def _failovers(run: Run) -> list[Operation]:
    found = run.tools.admin.operations.list(run.target.instance, limit=None)
    return [one for one in found if one.operation_type == KIND]


def _cut_off(run: Run, begun: Operation) -> Seen:
    found = f"this run was cut off while {begun.name} went on, so nobody saw it"
    action = "ask the applications' logs between its beginning and its end"
    run.find("How long nobody could write", Result.UNKNOWN, found, action)
    run.find("Nothing that was acknowledged is lost", Result.UNKNOWN, found, action)
    return Seen(acknowledged=None, lost=0)


def _judged(run: Run, writes: list[Write], called: float, first: Write) -> Seen:
    rto, limit = first.at - called, run.target.objectives.rto_seconds
    found = f"until {rto:.2f} s after the call, of {limit:g} s"
    run.find("How long nobody could write", Result.OK if rto <= limit else Result.FAULT, found)
    earlier = [one for one in writes if one.at < first.at]
    if not earlier:
        found = "nothing could be written before"
        action = "compare with what the applications know to be written"
        run.find("Nothing that was acknowledged is lost", Result.UNKNOWN, found, action)
        run.measured(rto_seconds=rto)
        return Seen(acknowledged=0, lost=0)
    gone = {ident for (ident,) in run.tools.query(LOST, [one.id for one in writes])}
    lost = [one for one in writes if one.id in gone]
    _judge(
        run,
        "Nothing that was acknowledged is lost",
        f"{len(lost)} of {len(earlier)} writes until the other server took over",
        "compare with what the applications know to be written, and tell Google: a standby has every commit",
        not lost,
    )
    run.measured(rto_seconds=rto, rpo_seconds=earlier[-1].at - lost[0].at if lost else 0.0)
    return Seen(acknowledged=len(earlier), lost=len(lost))


def _judge(run: Run, test: str, found: str, action: str, holds: bool) -> None:  # noqa: FBT001  # what was tested
    run.find(test, Result.OK if holds else Result.FAULT, found, "" if holds else action)


def _with_standby(run: Run) -> Instance:
    """The instance, as soon as it has a standby or the time for it is over."""
    deadline = time.monotonic() + STANDBY_SECONDS
    while True:
        instance = run.instance()
        if _standby_zone(instance) is not None or time.monotonic() > deadline:
            return instance
        run.progress("waits for the new standby")
        time.sleep(POLL_SECONDS)


def _standby_zone(instance: Instance) -> str | None:
    zone = (instance.model_extra or {}).get("secondaryGceZone")
    return str(zone) if zone else None


def _addresses(instance: Instance) -> tuple[str, ...]:
    return tuple(sorted(address.ip_address for address in instance.ip_addresses))


def _plan_survey(run: Run) -> Change:
    return Change(f"{run.target.instance} serves", "the same: it is only read")


def _plan_fail_over(run: Run) -> Change:
    instance = run.instance()
    return Change(
        f"{instance.name} serves from {instance.gce_zone}",
        f"from {_standby_zone(instance)}; connections are dropped, and nobody can write for some seconds",
    )


def _plan_verify(_: Run) -> Change:
    return Change("not known how the failover ended", "each application came in and read; a new standby is there")


PROCEDURE = Procedure(
    name="failover",
    title="Let the standby take over",
    when="The zone of the instance fails and the service does not act by itself, or the failover is to be exercised.",
    inputs=Asked,
    preconditions=(has_a_standby, is_free),
    steps=(
        Step("survey", survey, _plan_survey),
        Step("fail-over", fail_over, _plan_fail_over, changes=("instances.failover", "database.write")),
        Step("verify", verify, _plan_verify),
    ),
    destroys=True,
    after=after,
)
