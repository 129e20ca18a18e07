"""promote-dr-replica: the region is gone, and its replica in another one takes over."""

import datetime as dt
import time

import psycopg2
from pydantic import AwareDatetime, Field

from runbooks.engine.errors import RefusedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import cutover, objectives, reconcile, replicas
from runbooks.procedures.recovered import find
from runtime.cloudsql.errors import CloudSqlError
from runtime.cloudsql.models import Instance
from runtime.errors import first_line

PROBE_SECONDS = 5
# libpq knows no shorter ones.
SHORTEST_PROBE_SECONDS = 2
PROBE_POLL_SECONDS = 0.2
# A region that is gone does not stop an instance; longer than this nobody waits for it.
FENCE_SECONDS = 60.0


class Asked(Inputs):
    """What is asked."""

    replica: str = Field(default="", description="which, by default the target's dr_replica")
    accept_loss_seconds: float | None = Field(
        default=None, ge=0, description="of the newest writes, how much may be lost, by default the target's RPO"
    )
    last_write: AwareDatetime | None = Field(
        default=None,
        description="when the last write was acknowledged, by the applications' logs; without it, the loss is counted "
        "until the run began, which is more than was lost",
    )
    silence_seconds: float = Field(default=10.0, ge=0, le=600, description="for how long the primary has to be silent")
    force: bool = Field(
        default=False,
        description="yes: also when the primary answers; what it acknowledges after the promotion is lost, and two "
        "databases take writes if it cannot be stopped",
    )


class Fenced(Output):
    """Whether the old primary was stopped."""

    is_stopped: bool


class Promoted(Output):
    """The instance that serves now."""

    instance: str
    first_write: AwareDatetime


def replica_is_ready(run: Run) -> None:
    """The replica is there, RUNNABLE, and follows the instance."""
    name = name_of(run)
    run.require("A replica is named", name or "none", "say replica=…, or dr_replica in the target", holds=bool(name))
    found = find(run, name)
    run.require(
        f"{name} is RUNNABLE",
        "not there" if found is None else f"{found.state}, activation policy {found.settings.activation_policy}",
        "see holdfast runbook run diagnose-connection; without a replica: restore-backup in another region",
        holds=found is not None and found.state == "RUNNABLE" and not replicas.is_stopped(found),
    )
    if found is None or run.done(Fenced) is not None:
        # By now this run may have promoted it.
        return
    whose = replicas.primary_of(found)
    run.require(
        f"{name} is a replica of {run.target.instance}",
        f"of {whose}" if whose else "no replica",
        "say another replica=…; one that was promoted already is written into the target as its instance",
        holds=whose == run.target.instance,
    )


def primary_is_silent(run: Run) -> None:
    """The primary does not answer, however often it is asked, or force=yes was said."""
    if replicas.primary_of(run.instance(name_of(run))) is None:
        return
    asked, primary = run.inputs(Asked), run.target.instance
    end = time.monotonic() + asked.silence_seconds
    answer = _answer(run)
    while answer is None and time.monotonic() < end:
        run.progress(f"{primary} is silent")
        time.sleep(PROBE_POLL_SECONDS)
        answer = _answer(run)
    if answer is not None and asked.force:
        run.find(f"{primary} does not answer", Result.MENDED, answer, "force=yes: it is stopped before the promotion")
        return
    run.require(
        f"{primary} does not answer",
        answer or f"silent for {asked.silence_seconds:g} s",
        f"a planned move is gcloud sql instances switchover {name_of(run)} (Enterprise Plus), which loses nothing; "
        "force=yes promotes all the same, and loses what the primary acknowledges afterwards",
        holds=answer is None,
    )


def loss_is_accepted(run: Run) -> None:
    """What the replica has not is no more than may be lost."""
    if run.done(Fenced) is not None:
        return
    asked, name = run.inputs(Asked), name_of(run)
    limit = run.target.objectives.rpo_seconds if asked.accept_loss_seconds is None else asked.accept_loss_seconds
    at = replicas.position(run, name)
    loss = _loss(run, at.replayed_at)
    found = "nobody knows: it has applied no commit since it started, and has no marker"
    if loss is not None:
        found = f"at most {loss:.1f} s"
        if not at.is_whole:
            found += ", and it still applies what it received: later it will be less"
    if loss is None and asked.force:
        run.find("What is lost is known", Result.MENDED, found, "force=yes: promoted all the same")
        return
    run.require(
        f"At most {limit:g} s of the newest writes are lost",
        found,
        "say last_write=… if the applications' logs tell, or accept_loss_seconds=… if it has to be"
        if loss is not None
        else "force=yes promotes all the same",
        holds=loss is not None and loss <= limit,
    )


def name_of(run: Run) -> str:
    """The replica."""
    return run.inputs(Asked).replica or run.target.dr_replica or ""


def fence(run: Run) -> Fenced:
    """Stop the old primary, if the service can, so that nobody writes to it when it is back."""
    primary = run.target.instance
    test = f"{primary} takes no writes when it is back"
    if _takes_over(run):
        run.find(test, Result.OK, "the service makes it a replica of the promoted one")
        return Fenced(is_stopped=False)
    admin = run.tools.admin
    try:
        if not replicas.is_stopped(run.instance()):
            # On its own: a region that is gone holds up nothing.
            stopping = admin.within(FENCE_SECONDS).instances.patch(primary, activation="NEVER")
            admin.wait(stopping, deadline=FENCE_SECONDS)
    except CloudSqlError as error:
        action = f"stop it as soon as it can be: {_stop(run)}"
        run.find(test, Result.UNKNOWN, f"it could not be stopped: {first_line(error)}", action)
        return Fenced(is_stopped=False)
    run.find(test, Result.OK, "stopped: its activation policy is NEVER")
    return Fenced(is_stopped=True)


def plan_fence(run: Run) -> Change:
    """How the primary is."""
    instance = run.instance()
    policy = f"{instance.name}: activation policy {instance.settings.activation_policy}"
    return Change(policy, "a replica" if _takes_over(run) else "NEVER")


def promote(run: Run) -> Promoted:
    """Promote the replica, and see it acknowledge a write."""
    name, primary = name_of(run), run.target.instance
    before = run.instance(name)
    if replicas.primary_of(before) is not None and not run.output(Fenced).is_stopped and not run.inputs(Asked).force:
        # It may be back since.
        answer = _answer(run)
        if answer is not None:
            message = f"{primary} is back ({answer}) and is not stopped; nothing was promoted"
            raise RefusedError(message)
    at = replicas.position(run, name)
    written = replicas.promote(run, name, failover=_takes_over(run))
    # What was received, and not yet applied, was applied on the way.
    latest = [one for one in (at.replayed_at, replicas.position(run, name).replayed_at) if one is not None]
    run.find(f"{name} acknowledges writes", Result.OK, f"since {written.isoformat()}")
    objectives.judge(
        run,
        rto_seconds=(written - run.started_at).total_seconds(),
        rpo_seconds=_loss(run, max(latest, default=None)),
    )
    return Promoted(instance=name, first_write=written)


def plan_promote(run: Run) -> Change:
    """Whose replica it is."""
    name = name_of(run)
    return Change(
        f"{name}: replica of {replicas.primary_of(run.instance(name))}, of {replicas.position(run, name).replayed_at}",
        f"{name}: serves" + (", and the old primary is its replica" if _takes_over(run) else ""),
    )


def cut_over(run: Run) -> None:
    """Send the applications to the promoted instance."""
    name = run.output(Promoted).instance
    cutover.give_passwords(run, name)
    cutover.send_applications(run, name)


def plan_cut_over(run: Run) -> Change:
    """Who is sent."""
    return Change(f"{cutover.to_send(run)}: {run.target.instance}", name_of(run))


def protect(run: Run) -> None:
    """Give the promoted instance backups and point-in-time recovery as its primary had: a replica has none."""
    name, wanted = run.output(Promoted).instance, _backups(run.instance())
    if not run.instance(name).settings.backup_configuration.point_in_time_recovery_enabled:
        run.wait(run.tools.admin.instances.patch(name, settings={"backupConfiguration": wanted}))
    run.find(f"{name} is backed up", Result.OK, "backups and point-in-time recovery are on")


def plan_protect(run: Run) -> Change:
    """What it has of backups."""
    return Change(f"{name_of(run)}: no backups, as a replica", "backups and point-in-time recovery")


def look(run: Run) -> None:
    """See the applications' logins come in, and the old primary take no writes."""
    cutover.see_applications_in(run, run.output(Promoted).instance)
    test = f"{run.target.instance} takes no writes"
    if replicas.is_stopped(run.instance()):
        run.find(test, Result.OK, "it is stopped")
        return
    answer = _answer(run, writes=True)
    run.find(
        test,
        Result.OK if answer is None else Result.FAULT,
        answer or "it does not answer, or is a replica",
        "" if answer is None else f"two databases take writes; stop the old one now: {_stop(run)}",
    )


def plan_look(_: Run) -> Change:
    """What is looked at."""
    return Change("not looked at", "each login comes in on the promoted instance; the old primary takes no writes")


def after(run: Run) -> list[str]:
    """The infrastructure's state, and the way back."""
    name, old = run.output(Promoted).instance, run.target.instance
    is_back = run.instance(name).region == run.target.region
    known = reconcile.with_replaced_instance if is_back else reconcile.with_instance_elsewhere
    standby = f"gcloud sql instances patch {name} --availability-type=REGIONAL --project={run.target.project}"
    back = f"holdfast runbook run create-replica region={run.target.region} name={old}-back # on the new target"
    return [
        *known(run, name),
        f"{name} has no standby; once there is time: {standby}",
        f"Before {old} is deleted, look there for rows that were acknowledged and are lost here: it has the only copy",
        f"A replica against the next disaster, and the way back: {back}",
        "Go back in a quiet hour: switchover with Enterprise Plus, else this, force=yes, with the applications stopped",
    ]


def _answer(run: Run, *, writes: bool = False) -> str | None:
    """What the primary says; None when it is silent. Also a refusal says that it is there."""
    patience = round(min(PROBE_SECONDS, max(SHORTEST_PROBE_SECONDS, run.inputs(Asked).silence_seconds)))
    try:
        with run.tools.connect(seconds=patience) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            is_standby = bool((cursor.fetchone() or (False,))[0])
    except psycopg2.OperationalError as error:
        text = first_line(error)
        return text if "FATAL" in text and not writes else None
    if writes and is_standby:
        return None
    return "it answers"


def _loss(run: Run, replayed_at: dt.datetime | None) -> float | None:
    """The seconds of writes that are lost at most."""
    if replayed_at is None:
        return None
    newest = run.inputs(Asked).last_write or run.started_at
    return max(0.0, (newest - replayed_at).total_seconds())


def _takes_over(run: Run) -> bool:
    """Whether it is the replica that Enterprise Plus keeps to take its primary's place."""
    named = (run.instance().model_extra or {}).get("replicationCluster", {}).get("failoverDrReplicaName", "")
    return str(named).rpartition(":")[2] == name_of(run)


def _backups(primary: Instance) -> dict[str, object]:
    found = primary.settings.backup_configuration.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**found, "enabled": True, "pointInTimeRecoveryEnabled": True}


def _stop(run: Run) -> str:
    target = run.target
    return f"gcloud sql instances patch {target.instance} --activation-policy=NEVER --project={target.project}"


PROCEDURE = Procedure(
    name="promote-dr-replica",
    title="Let the replica in another region take over",
    when="When the region of the instance is gone and is not expected back in time.",
    inputs=Asked,
    preconditions=(replica_is_ready, primary_is_silent, loss_is_accepted),
    steps=(
        Step("fence", fence, plan_fence, changes=("instances.patch",)),
        Step("promote", promote, plan_promote, changes=("instances.promoteReplica", "database.write")),
        Step("cut-over", cut_over, plan_cut_over, changes=(*cutover.CHANGES, "users.update")),
        Step("protect", protect, plan_protect, changes=("instances.patch",)),
        Step("look", look, plan_look),
    ),
    destroys=True,
    after=after,
)
