"""Holds a plan against the installed SDK: an input that it does not declare is a typo that a provider might ignore."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pulumi import _types

from runbooks.plan.model import Plan, Resource
from runbooks.plan.sdk import args_class

# Components are of the program's own package and take what they like.
_OWN = "pulumi:pulumi:"


def undeclared(plan: Plan) -> list[str]:
    """A line for each input, at any depth, that the SDK does not declare, and for each type that it does not know."""
    return [line for resource in plan.resources if resource.custom for line in undeclared_inputs(resource)]


def undeclared_inputs(resource: Resource) -> list[str]:
    """The same for one resource."""
    if resource.type.startswith(_OWN):
        return []
    declared = args_class(resource.type)
    if declared is None:
        return [f"{resource.urn}: no installed package declares {resource.type}"]
    return [f"{resource.urn}: {fault}" for fault in _object(resource.inputs, declared, "")]


def _object(value: Mapping[str, Any], declared: Any, path: str) -> Iterator[str]:
    types = _types.input_type_types(declared)
    for name, one in value.items():
        here = f"{path}.{name}" if path else name
        if name in types:
            yield from _value(one, types[name], here)
        else:
            yield f"{here} is not an input of {declared.__name__}"


def _value(value: Any, type_: Any, path: str) -> Iterator[str]:
    """Faults below a value. Text is taken for anything: it may be "[unknown]", or Pulumi's JSON."""
    choices = [_value_of(value, one, path) for one in _shapes(type_)]
    faults = [list(choice) for choice in choices if choice is not None]
    if faults:
        yield from min(faults, key=len)
    elif isinstance(value, dict | list):
        yield f"{path} is {'an object' if isinstance(value, dict) else 'a list'}, which the SDK does not declare there"


def _value_of(value: Any, shape: Any, path: str) -> Iterator[str] | None:
    """Faults below a value of a shape; None when it is not of that shape."""
    if isinstance(value, dict):
        return _object_of(value, shape, path)
    if isinstance(value, list) and shape is not Any:
        if not _is_a(shape, Sequence):
            return None
        inner = get_args(shape)[0] if get_args(shape) else Any
        return (fault for index, one in enumerate(value) for fault in _value(one, inner, f"{path}[{index}]"))
    return iter(())


def _object_of(value: dict[str, Any], shape: Any, path: str) -> Iterator[str] | None:
    if _types.is_input_type(shape):
        return _object(value, shape, path)
    if _is_a(shape, Mapping):
        inner = get_args(shape)[1] if get_args(shape) else Any
        return (fault for name, one in value.items() for fault in _value(one, inner, f"{path}.{name}"))
    # An asset is an object on the wire, and a class of its own in the SDK.
    return iter(()) if shape is Any or ("asset" in value and _is_asset(shape)) else None


def _shapes(type_: Any) -> Iterator[Any]:
    """The members of a union, without the wrappers of `pulumi.Input`."""
    if get_origin(type_) not in (Union, UnionType):
        yield type_
        return
    for member in get_args(type_):
        if member is not type(None) and not _types._is_plumbing_arg(member):  # noqa: SLF001  # the SDK's own reading
            yield from _shapes(member)


def _is_a(shape: Any, kind: type) -> bool:
    origin = get_origin(shape) or shape
    return isinstance(origin, type) and issubclass(origin, kind) and origin is not str


def _is_asset(shape: Any) -> bool:
    return getattr(shape, "__name__", "") in ("Asset", "Archive", "AssetOrArchive")
