"""promote-dr-replica when the region is gone: what was acknowledged is on the replica, which then serves."""

from pathlib import Path

from sqlalchemy.engine import make_url

from runbooks.engine.records import Ended
from runbooks.engine.report import Verdict, verdict_of
from runbooks.procedures.promote_dr_replica import PROCEDURE, Asked
from runbooks.procedures.replicas import copied
from runbooks.rehearsal import pointed
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.stage import Stage
from runbooks.rehearsal.writer import COUNT, Writer
from runtime.db.engine import SOCKETS

REPLICA = "holdfast-dr"
# That many, so that they take a moment.
WRITES = 50

_acknowledged: dict[Path, int] = {}


def add_replica(stage: Stage) -> None:
    """Give the environment its replica in the other region."""
    admin, target = stage.tools.admin, stage.target
    primary = admin.instances.get(target.instance)
    admin.wait(
        admin.instances.insert(
            REPLICA,
            database_version=primary.database_version,
            region=target.dr_region or "",
            tier=primary.settings.tier,
            edition="ENTERPRISE",
            deletion_protection=False,
            settings=copied(primary),
            primary=primary.name,
        )
    )


def prepare(stage: Stage) -> Asked:
    """The application writes, and then nobody hears of the primary any more."""
    add_replica(stage)
    writer = Writer(stage, stage.target.logins[0], "disaster").start()
    writer.wait(WRITES)
    writer.stop()
    _acknowledged[stage.folder] = writer.written
    stage.accident(network="cut")
    return Asked(replica=REPLICA, silence_seconds=0.5)


def check(stage: Stage, ended: Ended) -> None:
    """All acknowledged rows are on the promoted instance, the application writes there, and the old one is stopped."""
    wanted = _acknowledged.pop(stage.folder)
    rows = stage.query(COUNT, "disaster", instance=REPLICA)[0][0]
    stage.expect("each acknowledged write is there", holds=rows == wanted >= WRITES, found=f"{rows} of {wanted}")
    admin, login = stage.tools.admin, stage.target.logins[0]
    promoted, old = admin.instances.get(REPLICA), admin.instances.get(stage.target.instance)
    stage.expect("it is no replica any more", holds=promoted.master_instance_name is None)
    # Where it could not be, the run is incomplete and says so.
    is_stopped = old.settings.activation_policy == "NEVER"
    stage.expect("the old primary is stopped", holds=is_stopped or verdict_of(ended) is Verdict.INCOMPLETE)
    url = make_url(stage.tools.secrets.newest(login.secret).get_secret_value())
    # Its own address, or its name for whoever has a connector.
    found = url.host or url.query.get("host")
    own = (stage.tools.address(promoted)[0], SOCKETS + promoted.connection_name)
    stage.expect("the secret has its address", holds=found in own, found=found)
    writer = Writer(stage, login, "afterwards").start()
    writer.wait(1)
    writer.stop()
    stage.expect("the application writes again", holds=not writer.failures, found=writer.failures[:1])
    pointed.see_moved(stage, REPLICA)
    stage.expect("what is left to do is told", holds=any("pulumi up" in line for line in ended.left_to_do))


REHEARSAL = Rehearsal(PROCEDURE, prepare, check)
