"""Pulumi's wire format as plain values."""

from typing import Any

from google.protobuf.struct_pb2 import Struct, Value  # type: ignore[import-untyped]  # it has no types
from pulumi.runtime import rpc

SECRET = "[secret]"  # noqa: S105  # it stands where one would be
UNKNOWN = "[unknown]"

_KIND = rpc._special_sig_key  # noqa: SLF001  # the format has no public names
_SECRET = rpc._special_secret_sig  # noqa: SLF001
_RESOURCE = rpc._special_resource_sig  # noqa: SLF001
_ASSETS = (rpc._special_asset_sig, rpc._special_archive_sig)  # noqa: SLF001


def masked(struct: Struct) -> dict[str, Any]:
    """Without what is secret, at any depth."""
    return {name: _plain(value, mask=True) for name, value in sorted(struct.fields.items())}


def revealed(struct: Struct) -> dict[str, Any]:
    """With what is secret: for what computes, never for what is shown."""
    return {name: _plain(value, mask=False) for name, value in struct.fields.items()}


def secret(value: Value) -> Value:
    """A value that stays secret in whatever is derived from it."""
    if value.HasField("struct_value") and _kind(value.struct_value) == _SECRET:
        return value
    wrapped = Value()
    wrapped.struct_value.fields[_KIND].string_value = _SECRET
    wrapped.struct_value.fields["value"].CopyFrom(value)
    return wrapped


def to_struct(values: dict[str, Any]) -> Struct:
    """Plain values on the wire; what is unknown stays unknown."""
    struct = Struct()
    struct.update({name: _marked(value) for name, value in values.items()})
    return struct


def _marked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _marked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_marked(one) for one in value]
    return rpc.UNKNOWN if value == UNKNOWN else value


def _plain(value: Value, *, mask: bool) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return _object(value.struct_value, mask=mask)
        case "list_value":
            return [_plain(one, mask=mask) for one in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value == rpc.UNKNOWN else value.string_value
        case "bool_value":
            return value.bool_value
    return None


def _object(struct: Struct, *, mask: bool) -> Any:
    kind = _kind(struct)
    if kind == _SECRET:
        return SECRET if mask else _plain(struct.fields["value"], mask=False)
    if kind == _RESOURCE:
        return struct.fields["urn"].string_value
    members = {name: _plain(one, mask=mask) for name, one in sorted(struct.fields.items()) if name != _KIND}
    return {"asset": members} if kind in _ASSETS else members


def _kind(struct: Struct) -> str:
    return struct.fields[_KIND].string_value if _KIND in struct.fields else ""
