"""The part of an instance that its owner chooses, in Google's names."""

from collections.abc import Mapping
from typing import Any

from runtime.cloudsql.models import Activation, Availability, Edition, InstanceSettings

# What its owner says of Private Service Connect; Google adds to each connection what has become of it.
_PSC = ("pscEnabled", "allowedConsumerProjects", "pscAutoDnsEnabled")
_PSC_CONNECTIONS = "pscAutoConnections"
_PSC_CONNECTION = ("consumerNetwork", "consumerProject")


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


def ip_configuration_of(settings: InstanceSettings) -> dict[str, Any]:
    """How an instance is reached, as another one can be made with it."""
    given: dict[str, Any] = dict((settings.model_extra or {}).get("ipConfiguration", {}))
    if "pscConfig" in given:
        given["pscConfig"] = _asked_of_psc(given["pscConfig"])
    return given


def _asked_of_psc(config: Mapping[str, Any]) -> dict[str, Any]:
    asked = _only(config, _PSC)
    if _PSC_CONNECTIONS in config:
        asked[_PSC_CONNECTIONS] = [_only(one, _PSC_CONNECTION) for one in config[_PSC_CONNECTIONS]]
    return asked


def _only(given: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: given[field] for field in fields if field in given}
