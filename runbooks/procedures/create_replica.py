"""create-replica: a read replica in another region that is seen to follow."""

from itertools import chain, count

from pydantic import Field

from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures import replicas
from runbooks.procedures.preconditions import instance_serves
from runbooks.procedures.recovered import FAILED, find

REGION = r"^([a-z]+-[a-z]+\d+)?$"
NAME = r"^([a-z][a-z0-9-]{0,95}[a-z0-9])?$"
MEASUREMENTS = 3


class Asked(Inputs):
    """What is asked."""

    region: str = Field(default="", pattern=REGION, description="where, by default the target's dr_region")
    name: str = Field(
        default="", pattern=NAME, description="its name, by default the target's dr_replica, else one with the region"
    )
    lag_seconds: float = Field(default=30.0, gt=0, description="within how many seconds a write has to be there")


class Made(Output):
    """The replica."""

    name: str
    region: str


class Followed(Output):
    """That it follows."""

    lag_seconds: float


def region_is_known(run: Run) -> None:
    """A region is asked for, or the target has one."""
    run.require("A region is known", region_of(run) or "none", "say region=…", holds=bool(region_of(run)))


def can_have_replicas(run: Run) -> None:
    """The instance has backups, is no replica itself, and has no key of the owner's own."""
    instance = run.instance()
    run.require(
        f"{instance.name} has automated backups and point-in-time recovery",
        f"backups {_on(instance.settings.backup_configuration.enabled)}, point-in-time recovery "
        f"{_on(instance.settings.backup_configuration.point_in_time_recovery_enabled)}",
        "turn both on: a replica is made from them",
        holds=instance.settings.backup_configuration.enabled
        and instance.settings.backup_configuration.point_in_time_recovery_enabled,
    )
    primary = replicas.primary_of(instance)
    run.require(
        f"{instance.name} is no replica itself",
        f"a replica of {primary}" if primary else "a primary",
        f"make a replica of {primary}",
        holds=primary is None,
    )
    run.require(
        "Its disk is encrypted by Google's own key",
        "a key of one's own" if instance.encryption_key else "yes",
        "a replica elsewhere needs a key of that region: make it by the infrastructure's program",
        holds=instance.encryption_key is None,
    )


def name_is_free(run: Run) -> None:
    """Nothing else has the replica's name."""
    name, instance = name_of(run), run.target.instance
    found = find(run, name)
    whose = replicas.primary_of(found) if found else None
    run.require(
        f"The name {name} is free, or is a replica of {instance}",
        "free" if found is None else f"a replica of {whose}" if whose else "an instance that is no replica",
        "say another name=…",
        holds=found is None or whose == instance,
    )
    if found is not None:
        run.require(
            f"{name} is in the region that is asked for",
            found.region,
            f"say another name=…, or region={found.region}",
            holds=found.region == region_of(run),
        )


def region_of(run: Run) -> str:
    """Where it shall be."""
    return run.inputs(Asked).region or run.target.dr_region or ""


def name_of(run: Run) -> str:
    """What it shall be called."""
    given = run.inputs(Asked).name or run.target.dr_replica
    if given:
        return given
    # The same at a resume, and when the procedure runs a second time. The name of one that failed is taken.
    usual = f"{run.target.instance}-{region_of(run)}"
    failed = {one.name for one in run.tools.admin.instances.list() if one.state == FAILED}
    return next(name for name in chain([usual], (f"{usual}-{number}" for number in count(2))) if name not in failed)


def make(run: Run) -> Made:
    """Make the replica, with its primary's machine, flags and network."""
    made = replicas.make(
        run, name_of(run), region_of(run), deletion_protection=run.instance().settings.deletion_protection_enabled
    )
    run.find(f"{made.name} is a replica of {run.target.instance}", Result.OK, f"{made.state} in {made.region}")
    return Made(name=made.name, region=made.region)


def plan_making(run: Run) -> Change:
    """What is there, and what would be."""
    found, primary = find(run, name_of(run)), run.instance()
    names = ", ".join(primary.replica_names) or "none"
    if found is not None:
        return Change(f"replicas: {names}", f"the same: {found.name} is there, {found.state}")
    return Change(f"replicas: {names}", f"{name_of(run)} in {region_of(run)} besides, {primary.settings.tier}")


def follow(run: Run) -> Followed:
    """See that writes on the primary arrive on the replica in time."""
    name = run.output(Made).name
    lag = replicas.lag(run, name, limit=run.inputs(Asked).lag_seconds, times=MEASUREMENTS)
    run.find(f"What is committed on {run.target.instance} is on {name}", Result.OK, f"{lag:.3f} s later")
    return Followed(lag_seconds=lag)


def plan_following(_: Run) -> Change:
    """What would be measured."""
    return Change("not measured", f"{MEASUREMENTS} commits that touch no table, each there within the limit")


def after(run: Run) -> list[str]:
    """The program has one of its own, or none."""
    name, stack = run.output(Made).name, run.target.stack or run.target.name
    return [
        f"Where it is to serve when the region is lost, name it in the target: dr_replica = {name}",
        "The program does not know it, and makes one of its own:",
        f"pulumi config set --stack {stack} --path database.dr_replica true",
        f"pulumi up --stack {stack}",
        f"Then this one is not needed: gcloud sql instances delete {name} --project={run.target.project}",
    ]


def _on(is_on: bool) -> str:  # noqa: FBT001  # a word for it
    return "on" if is_on else "off"


PROCEDURE = Procedure(
    name="create-replica",
    title="Make a read replica and see that it follows",
    when="When a region has no replica against disasters, or lost it: after a promotion, or before a drill.",
    inputs=Asked,
    preconditions=(instance_serves, region_is_known, can_have_replicas, name_is_free),
    steps=(
        Step("make", make, plan_making, changes=("instances.insert",)),
        Step("follow", follow, plan_following, changes=("database.write",)),
    ),
    after=after,
)
