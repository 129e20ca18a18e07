"""A field's JSON Schema in words, and a value that fits it."""

from collections.abc import Iterator
from typing import Any

from runbooks.reference.document import Document, Schema, reference, resolve
from runbooks.reference.errors import DocumentationError
from runbooks.reference.markdown import code, link

_TYPES = {"string": "text", "number": "number", "integer": "integer", "boolean": "true or false", "null": "null"}
_FORMATS = {"date-time": "date and time with offset", "uuid": "UUID"}


def described(schema: Schema, document: Document) -> str:
    """The type with its limits, such as `integer, 1 to 5`."""
    name, whole = reference(schema), resolve(schema, document)
    if values := whole.get("enum") or ([whole["const"]] if "const" in whole else []):
        return " or ".join(code(value) for value in values)
    if name is not None:
        return link(name, name)
    if several := whole.get("anyOf") or whole.get("oneOf"):
        return " or ".join(described(part, document) for part in several)
    if whole.get("type") in {"array", "object"}:
        return _composed(whole, document)
    return _simple(whole)


def default(schema: Schema) -> str:
    """What a field is when it is left out, where the document says so."""
    if schema.get("default") is None:
        return ""
    value = schema["default"]
    return code(_literal(value) if isinstance(value, bool) else value)


def rows(schema: Schema, document: Document, *, sent: bool) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, whether it must be sent or what it is otherwise, and meaning of each field of an object."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        must = ("required" if name in required else default(field)) if sent else ""
        yield code(name), described(field, document), must, field.get("description", "")


def example(schema: Schema, document: Document, where: str) -> Any:
    """A value that fits: the field's own example, or one made of the examples of what it consists of.

    Raises:
        DocumentationError: there is none; the message says where one is missing.
    """
    if "examples" in schema:
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "default" in schema:
        return schema["default"]
    whole = resolve(schema, document)
    if whole.get("type") == "object" and "properties" in whole:
        return {
            name: example(field, document, f"{where}.{name}")
            for name, field in whole["properties"].items()
            if name in whole.get("required", []) or has_example(field)
        }
    if whole.get("type") == "array" and "items" in whole:
        return [example(whole["items"], document, f"{where}[]")]
    for part in whole.get("anyOf", []):
        if has_example(part):
            return example(part, document, where)
    message = f"{where} has no example: give it Field(examples=[…])"
    raise DocumentationError(message)


def has_example(schema: Schema) -> bool:
    """Whether the schema itself, or one that it may be, shows a value."""
    return "examples" in schema or any(has_example(part) for part in schema.get("anyOf", []))


def _composed(schema: Schema, document: Document) -> str:
    if schema["type"] == "array":
        items = described(schema["items"], document) if schema.get("items") else "anything"
        return f"list of{_between(schema, 'minItems', 'maxItems', before=' ')} {items}"
    values = schema.get("additionalProperties")
    return f"object of {described(values, document)}" if isinstance(values, dict) and values else "object"


def _simple(schema: Schema) -> str:
    if "type" not in schema:
        return "anything"
    words = _FORMATS.get(schema.get("format", ""), _TYPES[schema["type"]])
    length = _between(schema, "minLength", "maxLength", before=", ", after=" characters")
    return words + length + _between(schema, "minimum", "maximum", before=", ")


def _between(schema: Schema, least: str, most: str, *, before: str = "", after: str = "") -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if high is None:
        return f"{before}at least {low:,}{after}"
    if low in (None, 0) and least != "minimum":
        return f"{before}at most {high:,}{after}"
    return f"{before}at most {high:,}{after}" if low is None else f"{before}{low:,} to {high:,}{after}"


def _literal(value: bool) -> str:  # noqa: FBT001  # it is what is shown
    return "true" if value else "false"
