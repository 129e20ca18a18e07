"""Whose tokens are believed, and what they allow: an entry of the setting OIDC_PROVIDERS."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from runtime.platform.scopes import ALL_SCOPES

ISSUER_LENGTH = 255
# Anyone in the world gets a token of these, for any audience.
OPEN_ISSUERS = frozenset({"accounts.google.com"})


def is_trustworthy(url: str) -> bool:
    """Whether what comes from the URL cannot have been changed on its way: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        return False
    if not host or not port_is_number or parts.username is not None or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(value: str) -> str:
    if not is_trustworthy(value):
        message = "write https://HOST; http:// is for loopback addresses only"
        raise ValueError(message)
    return value


def _issuer(value: str) -> str:
    parts = urlsplit(_url(value))
    if parts.query or parts.fragment:
        message = "an issuer has no query and no fragment"
        raise ValueError(message)
    return value


def _scope(value: str) -> str:
    if value not in ALL_SCOPES:
        message = f"unknown scope; there are {', '.join(ALL_SCOPES)}"
        raise ValueError(message)
    return value


GivenScope = Annotated[str, AfterValidator(_scope)]


class OidcProvider(BaseModel):
    """An issuer of tokens.

    Scopes are given to each of its verified tokens (a project's own users), to listed e-mails (service accounts of
    an issuer that gives everyone a token), or both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: Annotated[str, Field(max_length=ISSUER_LENGTH), AfterValidator(_issuer)]
    audience: str = Field(min_length=1)
    scopes: frozenset[GivenScope] = frozenset()
    emails: Mapping[str, frozenset[GivenScope]] = Field(default_factory=dict)
    # Where its keys are; without it, its discovery document says so.
    jwks_uri: Annotated[str, AfterValidator(_url)] | None = None

    @model_validator(mode="after")
    def _gives_something_to_someone(self) -> Self:
        if not self.scopes and not self.emails:
            message = f"{self.issuer} gives nothing: add scopes (for all of its users) or emails (for some)"
            raise ValueError(message)
        if not all(self.emails.values()):
            message = f"{self.issuer} has an e-mail without scopes; name its scopes, or leave it out"
            raise ValueError(message)
        if self.scopes and urlsplit(self.issuer).hostname in OPEN_ISSUERS:
            message = f"{self.issuer} gives anyone in the world a token; give scopes to emails only"
            raise ValueError(message)
        return self
