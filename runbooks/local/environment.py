"""The settings that the runtime gets here, and how: explicitly, whatever the caller's environment says."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from runbooks.local.files import write_private
from runtime.settings import ApiSettings

# How the API serves is the user's to say; where things are and their secrets are not.
USERS_CHOICE = (
    "LOG_LEVEL",
    "DEBUG",
    "MAX_WORKERS",
    "REQUEST_TIMEOUT",
    "RATE_LIMIT",
    "RATE_LIMIT_WINDOW",
    "MAX_BODY_BYTES",
    "CORS_ORIGINS",
)


def child_environment(inherited: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """The environment of the API: what it inherits, without settings that would contradict ours, and ours."""
    ours = {name.upper() for name in ApiSettings.model_fields} - set(USERS_CHOICE)
    return {**{name: value for name, value in inherited.items() if name.upper() not in ours}, **values}


def forget_libpq_variables() -> None:
    """Let no PGSSLMODE or PGOPTIONS of the user's change how this process and its children reach the database."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def runtime_settings(values: Mapping[str, str]) -> ApiSettings:
    """The same settings for what runs in this process."""
    return _GivenSettings.model_validate({name.lower(): value for name, value in values.items()})


class _GivenSettings(ApiSettings):
    """Settings that come from nowhere else."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Keep the settings where the runtime's commands read them."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    write_private(path, "".join(f"{name}='{value}'\n" for name, value in quoted.items()))
