"""The part of an instance that its owner chooses, in Google's names."""

from collections.abc import Mapping
from typing import Any

from runtime.cloudsql.models import Activation, Availability, Edition


def settings_of(
    others: Mapping[str, Any] | None,
    *,
    tier: str | None = None,
    edition: Edition | None = None,
    availability: Availability | None = None,
    activation: Activation | None = None,
    flags: Mapping[str, str] | None = None,
    deletion_protection: bool | None = None,
) -> dict[str, Any]:
    """What is named, and `others` besides."""
    named = {
        "tier": tier,
        "edition": edition,
        "availabilityType": availability,
        "activationPolicy": activation,
        "databaseFlags": None if flags is None else [{"name": key, "value": value} for key, value in flags.items()],
        "deletionProtectionEnabled": deletion_protection,
    }
    return {**(others or {}), **{key: value for key, value in named.items() if value is not None}}
