"""Google's published description of the Admin API as a judge of requests and answers."""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DATETIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"
FORMATS = {"int64": r"^-?\d+$", "google-datetime": DATETIME, "google-duration": r"^\d+(\.\d{1,9})?s$"}
TEXTS = {"boolean": r"^(true|false)$", "integer": r"^-?\d+$"}


@cache
def document() -> dict[str, Any]:
    found = importlib.util.find_spec("googleapiclient")
    assert found is not None
    assert found.origin is not None
    return json.loads((Path(found.origin).parent / "discovery_cache/documents/sqladmin.v1.json").read_text())


def method_of(verb: str, path: str) -> dict[str, Any]:
    """The method that answers at a path, where there is one."""
    for method in _methods(document()["resources"]):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape("/" + method["path"]))
        if method["httpMethod"] == verb and re.fullmatch(pattern, path):
            return method
    message = f"{verb} {path}: no method of the Admin API"
    raise AssertionError(message)


def check_request(method: Mapping[str, Any], query: Mapping[str, str], body: Any) -> None:
    for name, value in query.items():
        parameter = method["parameters"].get(name)
        assert parameter is not None, f"{method['id']} has no parameter {name}"
        assert parameter["location"] == "query", f"{method['id']}: {name} is part of the path"
        pattern = FORMATS.get(parameter.get("format", "")) or TEXTS.get(parameter["type"], "")
        assert re.search(pattern, value), f"{method['id']}: {name}={value} is no {parameter}"
    if "request" in method:
        _check(method["request"]["$ref"], body)
    else:
        assert body is None, f"{method['id']} takes no body"


def check_answer(method: Mapping[str, Any], body: Any) -> None:
    _check(method["response"]["$ref"], body)


def _check(schema: str, value: Any) -> None:
    errors = [f"{error.json_path}: {error.message}" for error in _validator(schema).iter_errors(value)]
    assert not errors, f"no {schema}: {errors}"


@cache
def _validator(schema: str) -> Draft202012Validator:
    schemas = {name: _as_json_schema(one) for name, one in document()["schemas"].items()}
    return Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": schemas})


def _as_json_schema(node: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return {"$ref": f"#/$defs/{node['$ref']}"}
    if node["type"] == "any":
        return {}
    made = {key: node[key] for key in ("type", "enum") if key in node}
    if node["type"] == "string" and node.get("format") in FORMATS:
        made["pattern"] = FORMATS[node["format"]]
    if "items" in node:
        made["items"] = _as_json_schema(node["items"])
    if node["type"] == "object":
        made["properties"] = {name: _as_json_schema(one) for name, one in node.get("properties", {}).items()}
        others = node.get("additionalProperties")
        made["additionalProperties"] = _as_json_schema(others) if others else False
    return made


def _methods(resources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from _methods(resource.get("resources", {}))
