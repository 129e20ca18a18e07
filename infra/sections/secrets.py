"""Secrets: when they are to be replaced."""

from pydantic import Field

from infra.sections.base import Section


class SecretsConfig(Section):
    """Reminders of rotation."""

    rotation_days: int = Field(default=90, ge=1, le=365)
    overdue_days: int = Field(default=7, ge=1, le=90, description="After the reminder, until the alert.")
