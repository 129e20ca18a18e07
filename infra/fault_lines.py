"""What is wrong with settings, in lines for a person: which one, why, and what to write instead."""

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from infra.names import unknown

Location = tuple[int | str, ...]
Model = type[BaseModel]
# What pydantic says in a programmer's words.
_WHOLE, _BOOL = "is no whole number; write one", "is neither true nor false; write one of them"
PLAIN = {
    "tuple_type": "is no list; write [{}]",
    "string_type": "is no text; write it in quotes",
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), _WHOLE),
    **dict.fromkeys(("bool_parsing", "bool_type"), _BOOL),
}
# Where pydantic says that it is the name, and not the value, of a mapping's entry.
KEY = "[key]"


def of(error: ValidationError, model: Model) -> list[str]:
    """One line a fault.

    Args:
        error: what pydantic says.
        model: of the settings; faults name a place in it.
    """
    return [
        line
        for fault in error.errors()
        for line in _lines(model, fault["loc"], fault["type"], fault["msg"], fault["input"])
    ]


def _lines(model: Model, location: Location, kind: str, message: str, given: object) -> Iterator[str]:
    location = tuple(step for step in location if step != KEY)
    path = ".".join(map(str, location))
    if kind == "extra_forbidden":
        yield f"{path}: {unknown('setting', str(location[-1]), _settings_at(model, location[:-1]))}"
    elif kind == "missing":
        yield f"{path}: is not set, and it has no default; write it"
    elif kind == "value_error":
        # A section's own faults begin with the name of its field.
        is_section = not location or _model_of(_field_at(model, location)) is not None
        for line in message.removeprefix("Value error, ").splitlines():
            yield f"{path}.{line}" if is_section and path else f"{path}: {line}" if path else line
    elif kind in {"model_type", "dict_type", "mapping_type"}:
        yield f"{path}: {given!r} is no section; write its settings below it, as KEY: VALUE"
    elif kind in PLAIN:
        yield f"{path}: {given!r} {PLAIN[kind].format(given)}"
    elif kind == "string_pattern_mismatch":
        yield f"{path}: {given!r} is not of the right form{_as_example(model, location)}"
    else:
        yield f"{path}: {given!r} cannot be: {message[:1].lower()}{message[1:]}"


def _as_example(model: Model, location: Location) -> str:
    # The name in a mapping, or the place in a list, is not the field's.
    field = _field_at(model, location) or _field_at(model, location[:-1])
    examples = field.examples if field else None
    return f"; write it as {examples[0]}" if examples else ""


def _settings_at(model: Model, location: Location) -> Iterator[str]:
    found = _model_of(_field_at(model, location)) if location else model
    yield from found.model_fields if found else ()


def _field_at(model: Model, location: Location) -> FieldInfo | None:
    inner: Model | None = model
    field: FieldInfo | None = None
    for name in location:
        field = inner.model_fields.get(str(name)) if inner else None
        inner = _model_of(field)
    return field


def _model_of(field: FieldInfo | None) -> Model | None:
    if field is None:
        return None
    # A section that may be absent is `Section | None`.
    for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
