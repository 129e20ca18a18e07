"""Google's published description of a service, where it is installed: every request and every answer is held to it."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from runbooks.sandbox.store import Document

PACKAGE = "googleapiclient"
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}
INTEGER = r"-?\d+"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?"
# What a text of a format looks like as Google writes it, and what a caller may write besides.
FORMS = {
    "int64": INTEGER,
    "uint64": r"\d+",
    "google-datetime": MOMENT + "Z",
    "google-duration": r"-?\d+(\.\d{1,9})?s",
    "byte": r"[A-Za-z0-9+/]*={0,2}",
}
LENIENT_FORMS = FORMS | {"google-datetime": MOMENT + r"(Z|[+-]\d\d:\d\d)", "byte": r"[A-Za-z0-9+/_-]*={0,2}"}
PARAMETERS = {"boolean": "true|false", "integer": INTEGER, "number": r"-?\d+(\.\d+)?"}
# Enumerations whose numbers are not the places of their names, by their first name: the descriptions have no numbers.
NUMBERS = {
    "LAUNCH_STAGE_UNSPECIFIED": (0, 6, 7, 1, 2, 3, 4, 5),
    "COMMON_REASON_UNDEFINED": (0, 1, 3, 4, *range(6, 18)),
    "TIER_UNSPECIFIED": (0, 1, 3),
}
UNKNOWN = 'Invalid JSON payload received. Unknown name "{}"{}: {}'


class Discovery:
    """One version of one service. Methods are named by their ids, such as `sql.instances.get`."""

    def __init__(self, document: Document) -> None:
        self._schemas: dict[str, Document] = document["schemas"]
        self._common: Document = document["parameters"]
        self.methods = {one["id"]: one for one in _methods(document["resources"])}
        # The versions of one service do not agree on the case of their ids.
        self._methods = {name.lower(): one for name, one in self.methods.items()}

    @classmethod
    def installed(cls, name: str) -> "Discovery | None":
        """That of the installed package, such as `run.v2`; None where it is not installed."""
        documents = _documents()
        return cls(json.loads((documents / f"{name}.json").read_text())) if documents else None

    def request_faults(self, method: str, query: Mapping[str, str], body: Document | None) -> list[str]:
        """What is wrong with a request: each in Google's words."""
        described = self._methods[method.lower()]
        faults = list(self._query_faults(described.get("parameters", {}), query))
        expected = described.get("request", {}).get("$ref")
        if body and not expected:
            faults += [UNKNOWN.format(name, "", "Cannot find field.") for name in body]
        elif body is not None and expected:
            faults += self._faults(body, {"$ref": expected}, "", lenient=True)
        return faults

    def answer_faults(self, method: str, body: Any) -> list[str]:
        """What is wrong with an answer."""
        expected = self._methods[method.lower()].get("response", {}).get("$ref")
        if expected is None:
            return [f"{method} answers nothing"] if body else []
        return list(self._faults(body, {"$ref": expected}, "", lenient=False))

    def with_names(self, method: str, body: Document) -> Document:
        """A request whose enumerations are numbers (`$alt=json;enum-encoding=int`), with names in their place."""
        expected = self._methods[method.lower()].get("request", {})
        renamed: Document = self._with_names(body, expected)
        return renamed

    def _with_names(self, value: Any, schema: Document) -> Any:
        schema = self._schemas.get(schema.get("$ref", ""), schema)
        if "enum" in schema and type(value) is int:
            names = schema["enum"]
            return dict(zip(NUMBERS.get(names[0], range(len(names))), names, strict=False)).get(value, value)
        if isinstance(value, list):
            return [self._with_names(item, schema.get("items", {})) for item in value]
        if isinstance(value, dict):
            properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
            return {name: self._with_names(item, properties.get(name, more)) for name, item in value.items()}
        return value

    def _query_faults(self, own: Document, query: Mapping[str, str]) -> Iterator[str]:
        for name, value in query.items():
            # The common ones may be written with a dollar sign, as Google's own clients do.
            described = own.get(name) or self._common.get(name) or self._common.get(name.removeprefix("$"))
            if described is None or described["location"] != "query":
                problem = "Cannot bind query parameter. Field could not be found in request message."
                yield UNKNOWN.format(name, "", problem)
                continue
            kind, form = described["type"], described.get("format", "")
            pattern = LENIENT_FORMS.get(form) or PARAMETERS.get(kind, ".*")
            # The common ones are not the service's own, and Google reads some of them in several spellings.
            is_wrong = name in own and (
                not re.fullmatch(pattern, value, re.DOTALL) or value not in described.get("enum", [value])
            )
            if is_wrong:
                yield f"Invalid value at '{name}' (type {kind} {form}), {json.dumps(value)}"

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
        more = schema.get("additionalProperties")
        own = self._named(value.get("@type")) if more and more.get("type") == "any" else None
        if own is not None:
            # An operation says itself what it carries.
            value, schema, more = {name: item for name, item in value.items() if name != "@type"}, own, None
        properties = schema.get("properties", {})
        for name, item in value.items():
            inner = properties.get(name, more)
            if inner is None:
                yield UNKNOWN.format(name, f" at '{where}'" if where else "", "Cannot find field.")
            elif not (lenient and item is None):
                yield from self._faults(item, inner, f"{where}.{name}".lstrip("."), lenient=lenient)

    def _named(self, kind: object) -> Document | None:
        """The schema of a type such as `type.googleapis.com/google.cloud.run.v2.Job`, where it is described."""
        if not isinstance(kind, str):
            return None
        parts = kind.rpartition("/")[2].split(".")
        whole = "".join(part[:1].upper() + part[1:] for part in parts)
        return self._schemas.get(whole) or self._schemas.get(parts[-1])


@cache
def _documents() -> Path | None:
    # Only looked up: the package itself, and what it would do on import, is not needed.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "discovery_cache" / "documents"


def is_installed() -> bool:
    """Whether requests and answers can be checked."""
    return _documents() is not None


def _fits(value: Any, kind: str, form: str, *, lenient: bool) -> bool:
    if lenient and kind == "string" and form in ("int64", "uint64") and type(value) is int:
        # Callers may write a number; Google itself always writes a text.
        return True
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    if not isinstance(value, TYPES[kind]):
        return False
    pattern = (LENIENT_FORMS if lenient else FORMS).get(form)
    return pattern is None or not isinstance(value, str) or re.fullmatch(pattern, value) is not None


def _methods(resources: Document) -> Iterator[Document]:
    for resource in resources.values():
        for method in resource.get("methods", {}).values():
            yield {"flatPath": method["path"], **method}
        yield from _methods(resource.get("resources", {}))
