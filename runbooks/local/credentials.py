"""The local platform's passwords and keys: made once, kept between runs."""

import secrets

from pydantic import BaseModel, Field, ValidationError

from runbooks.local.errors import LocalPlatformError
from runbooks.local.files import write_private
from runbooks.local.folder import StateFolder


def _secret() -> str:
    # URL-safe, so that it needs no quoting wherever it goes.
    return secrets.token_urlsafe(32)


class Credentials(BaseModel):
    """All of them. None is a default that two machines would share."""

    superuser_password: str = Field(default_factory=_secret, repr=False)
    api_password: str = Field(default_factory=_secret, repr=False)
    jobs_password: str = Field(default_factory=_secret, repr=False)
    cache_password: str = Field(default_factory=_secret, repr=False)
    secret_key: str = Field(default_factory=_secret, repr=False)
    api_key: str | None = Field(default=None, repr=False)
    # What the key may do, to make another when there is more.
    api_key_scopes: tuple[str, ...] = ()


def load_or_make(folder: StateFolder) -> Credentials:
    """The credentials of last time, or new ones.

    Raises:
        LocalPlatformError: there is data that only lost credentials open, or the file is damaged.
    """
    if folder.credentials.exists():
        return load(folder)
    if (folder.postgres / "PG_VERSION").exists():
        message = (
            f"{folder.postgres} has data but {folder.credentials}, which has its password, is gone; "
            "put it back, or remove the data"
        )
        raise LocalPlatformError(message)
    made = Credentials()
    save(folder, made)
    return made


def load(folder: StateFolder) -> Credentials:
    """The credentials of last time.

    Raises:
        LocalPlatformError: the file is damaged.
    """
    try:
        return Credentials.model_validate_json(folder.credentials.read_text())
    except ValidationError:
        message = f"{folder.credentials} is damaged; put a copy back, or remove {folder.path} with its data"
        raise LocalPlatformError(message) from None


def save(folder: StateFolder, credentials: Credentials) -> None:
    """Keep them."""
    write_private(folder.credentials, credentials.model_dump_json())
