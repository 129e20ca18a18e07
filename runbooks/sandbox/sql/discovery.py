"""Google's published description of the API, where it is installed: every request and every answer is held to it."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runbooks.sandbox.store import Document

PACKAGE = "googleapiclient"
INTEGER = re.compile(r"-?\d+")
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


class Discovery:
    """One version's description."""

    def __init__(self, document: Document) -> None:
        self._schemas: dict[str, Document] = document["schemas"]
        self._common: Document = document["parameters"]
        found = list(_methods(document["resources"]))
        self.paths = [(one["httpMethod"], one["flatPath"]) for one in found]
        self._methods = {(one["httpMethod"], unnamed(one["flatPath"])): one for one in found}

    @classmethod
    def installed(cls, version: str) -> "Discovery | None":
        """That of the installed package; None where it is not installed."""
        # Only looked up: the package itself, and what it would do on import, is not needed.
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent / "discovery_cache" / "documents" / f"sqladmin.{version}.json"
        return cls(json.loads(path.read_text()))

    def request_faults(self, verb: str, path: str, query: Mapping[str, str], body: Document | None) -> list[str]:
        """What is wrong with a request: each in Google's words."""
        method = self._methods[verb, unnamed(path)]
        known = {**self._common, **method.get("parameters", {})}
        faults = [
            f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
            "Field could not be found in request message."
            for name in query
            if name not in known
        ]
        expected = method.get("request", {}).get("$ref")
        if body is not None and expected:
            faults += self._faults(body, {"$ref": expected}, "", lenient=True)
        return faults

    def response_faults(self, verb: str, path: str, body: Any) -> list[str]:
        """What is wrong with an answer."""
        expected = self._methods[verb, unnamed(path)].get("response", {}).get("$ref", "Empty")
        return list(self._faults(body, {"$ref": expected}, "", lenient=False))

    def _faults(self, value: Any, schema: Document, where: str, *, lenient: bool) -> Iterator[str]:
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"]]
        kind = schema.get("type", "any")
        if kind == "any":
            return
        if not _fits(value, kind, schema.get("format", ""), lenient=lenient):
            yield f"Invalid value at '{where or 'body'}' (type {kind} {schema.get('format', '')}), {json.dumps(value)}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"Invalid value at '{where}', \"{value}\""
        if kind == "array":
            for position, item in enumerate(value):
                yield from self._faults(item, schema["items"], f"{where}[{position}]", lenient=lenient)
        if kind == "object":
            yield from self._object_faults(value, schema, where, lenient=lenient)

    def _object_faults(self, value: Document, schema: Document, where: str, *, lenient: bool) -> Iterator[str]:
        properties = schema.get("properties", {})
        for name, item in value.items():
            inner = properties.get(name, schema.get("additionalProperties"))
            if inner is None:
                place = f" at '{where}'" if where else ""
                yield f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
            elif not (lenient and item is None):
                yield from self._faults(item, inner, f"{where}.{name}".lstrip("."), lenient=lenient)


def _fits(value: Any, kind: str, form: str, *, lenient: bool) -> bool:
    if kind == "string" and form in ("int64", "uint64"):
        # Callers may write a number; Google itself always writes a string.
        if lenient and isinstance(value, int) and not isinstance(value, bool):
            return True
        return isinstance(value, str) and INTEGER.fullmatch(value) is not None
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    return isinstance(value, TYPES[kind])


def unnamed(path: str) -> str:
    """A path whose parameters have no names, to compare."""
    return re.sub(r"\{\w+\}", "{}", path)


def _methods(resources: Document) -> Iterator[Document]:
    for resource in resources.values():
        for method in resource.get("methods", {}).values():
            yield {"flatPath": method["path"], **method}
        yield from _methods(resource.get("resources", {}))
