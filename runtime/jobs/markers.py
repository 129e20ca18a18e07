"""`python -m runtime recovery-marker`: a mark every five minutes, by which a recovery to a moment is bracketed."""

import datetime as dt

from sqlalchemy import Engine, delete, func, insert

from runtime.platform.models import RecoveryMarker

# Longer than any moment can be recovered to: 35 days.
KEPT = dt.timedelta(days=40)


def write_marker(engine: Engine) -> tuple[dt.datetime, int]:
    """Write one, and delete those that are of no more use, in one transaction.

    Returns:
        Its moment, and how many were deleted.
    """
    with engine.begin() as connection:
        written = connection.execute(insert(RecoveryMarker).returning(RecoveryMarker.written_at)).scalar_one()
        deleted = connection.execute(delete(RecoveryMarker).where(RecoveryMarker.written_at < func.now() - KEPT))
    return written, deleted.rowcount
