"""How long a backup is kept."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from runbooks.sandbox.sql import times
from runbooks.sandbox.sql.errors import invalid_request
from runbooks.sandbox.store import Document

# Beside what callers see of a backup run: when it goes.
EXPIRES = "sandbox.expires"
MOST = dt.timedelta(days=365)


def asked(body: Mapping[str, Any], created: dt.datetime) -> str | None:
    """When a backup shall expire, as a caller says by `ttlDays` or `expiryTime`; None when neither is said.

    Args:
        body: the backup as the caller wants it.
        created: when it was made.

    Raises:
        ApiError: that is in the past, or more than a year after it was made.
    """
    now = dt.datetime.now(dt.UTC)
    if body.get("expiryTime"):
        moment = times.read(str(body["expiryTime"]), "expiryTime")
    elif body.get("ttlDays"):
        # Whatever number it is.
        moment = now + dt.timedelta(days=max(-1, min(int(body["ttlDays"]), 2 * MOST.days)))
    else:
        return None
    # A backup of this moment may be kept for the whole year.
    if not now < moment <= created + MOST + dt.timedelta(minutes=1):
        message = "a backup expires in the future, and at most 365 days after it was made."
        raise invalid_request(message)
    return times.written(moment)


def is_over(run: Document) -> bool:
    """Whether a backup's time is over."""
    return EXPIRES in run and times.read(run[EXPIRES], "expiryTime") <= dt.datetime.now(dt.UTC)
