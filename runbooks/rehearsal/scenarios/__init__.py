"""How each procedure is rehearsed: one a file, by the procedure's name."""

from runbooks.engine.errors import RunbookError
from runbooks.rehearsal.rehearsal import Rehearsal
from runbooks.rehearsal.scenarios import (
    backup_now,
    create_replica,
    diagnose_connection,
    dr_drill,
    failover,
    point_in_time_recovery,
    promote_dr_replica,
    repair_migrations,
    restore_backup,
    rotate_password,
    verify_backup,
)

REHEARSALS: tuple[Rehearsal, ...] = (
    diagnose_connection.REHEARSAL,
    repair_migrations.REHEARSAL,
    backup_now.REHEARSAL,
    restore_backup.REHEARSAL,
    point_in_time_recovery.REHEARSAL,
    failover.REHEARSAL,
    rotate_password.REHEARSAL,
    verify_backup.REHEARSAL,
    create_replica.REHEARSAL,
    promote_dr_replica.REHEARSAL,
    dr_drill.REHEARSAL,
)


def find(name: str) -> Rehearsal:
    """The rehearsal of the procedure of that name.

    Raises:
        RunbookError: there is none.
    """
    for rehearsal in REHEARSALS:
        if rehearsal.procedure.name == name:
            return rehearsal
    message = f"no rehearsal {name}; there are: {', '.join(one.procedure.name for one in REHEARSALS)}"
    raise RunbookError(message)
