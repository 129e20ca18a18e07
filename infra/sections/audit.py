"""The audit log."""

from pydantic import Field

from infra.sections.base import Section


class AuditConfig(Section):
    """How long it is kept, and whether reads of data are in it."""

    retention_days: int = Field(default=400, ge=1, le=3650)
    data_access: bool = True
    locked: bool = Field(default=False, description="For ever: nobody can shorten it any more.")
