"""What a credential may do: per system, a verb."""

from enum import StrEnum


class Scope(StrEnum):
    """`admin` is for other users' data; it implies neither of the other two."""

    ARD_READ = "ard:read"
    ARD_WRITE = "ard:write"
    UTXOIQ_READ = "utxoiq:read"
    UTXOIQ_WRITE = "utxoiq:write"
    UTXOIQ_ADMIN = "utxoiq:admin"
    PLATFORM_READ = "platform:read"
    PLATFORM_WRITE = "platform:write"


ALL_SCOPES: tuple[str, ...] = tuple(Scope)
