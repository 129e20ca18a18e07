"""The procedures: one a file."""

from runbooks.engine.errors import RunbookError
from runbooks.engine.procedure import Procedure
from runbooks.procedures import (
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

PROCEDURES: tuple[Procedure, ...] = (
    diagnose_connection.PROCEDURE,
    repair_migrations.PROCEDURE,
    backup_now.PROCEDURE,
    restore_backup.PROCEDURE,
    point_in_time_recovery.PROCEDURE,
    failover.PROCEDURE,
    rotate_password.PROCEDURE,
    verify_backup.PROCEDURE,
    create_replica.PROCEDURE,
    promote_dr_replica.PROCEDURE,
    dr_drill.PROCEDURE,
)


def find(name: str) -> Procedure:
    """The procedure of that name.

    Raises:
        RunbookError: there is none.
    """
    for procedure in PROCEDURES:
        if procedure.name == name:
            return procedure
    message = f"no procedure {name}; there are: {', '.join(one.name for one in PROCEDURES)}"
    raise RunbookError(message)
