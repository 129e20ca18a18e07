"""The OpenAPI document: FastAPI's, with the security scheme and only statuses that can happen."""

import json
from typing import Any

from fastapi import FastAPI

from runtime.api import idempotency
from runtime.api.auth import SECURITY_SCHEMES
from runtime.problems import MEDIA_TYPE, PayloadTooLarge, responses

# On every answer to a caller who is known.
_RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": {
        "description": "How many requests (q) the principal may make in a window of so many seconds (w).",
        "schema": {"type": "string"},
        "example": '"default";q=6000;w=60',
    },
    "RateLimit": {
        "description": "How many requests are left (r), and in how many seconds the next window begins (t).",
        "schema": {"type": "string"},
        "example": '"default";r=5999;t=42',
    },
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to send the request again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 42,
    }
}


def install(app: FastAPI) -> None:
    """Make the document once, when it is first asked for."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            components = document.setdefault("components", {})
            components["securitySchemes"] = SECURITY_SCHEMES
            for path in document["paths"].values():
                for method, operation in path.items():
                    _tidy(operation)
                    if method == "post":
                        idempotency.describe(operation)
                    _add_limits(operation)
            for unused in ("HTTPValidationError", "ValidationError"):
                components.get("schemas", {}).pop(unused, None)
            _make_whole(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _add_limits(operation: dict[str, Any]) -> None:
    """What every guarded operation says of the quota, and every one with a body of its size."""
    described = operation["responses"]
    if "requestBody" in operation:
        ((status, too_large),) = responses(PayloadTooLarge).items()
        del too_large["model"]
        too_large["content"][MEDIA_TYPE]["schema"] = {"$ref": "#/components/schemas/ProblemDocument"}
        described[str(status)] = too_large
    if "security" in operation:
        for status, response in described.items():
            headers = response.setdefault("headers", {})
            if status != "401":
                headers |= _RATE_LIMIT_HEADERS
            if status in {"429", "503"}:
                headers |= _RETRY_AFTER


def _tidy(operation: dict[str, Any]) -> None:
    """Problems are of their own media type, FastAPI's 422 is not ours, and examples have their nulls."""
    for status, response in list(operation["responses"].items()):
        content = response.get("content", {})
        for described in content.values():
            if "example" in described:
                described["example"] = json.loads(described["example"])
        schema = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        if schema.endswith("/HTTPValidationError"):
            del operation["responses"][status]
        elif schema.endswith("/ProblemDocument"):
            content.setdefault(MEDIA_TYPE, {})["schema"] = content.pop("application/json")["schema"]


def _make_whole(node: Any) -> None:
    """The limits of integers, which FastAPI writes with a point."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in {"minimum", "maximum"} and isinstance(value, float) and value.is_integer():
                node[name] = int(value)
            else:
                _make_whole(value)
    elif isinstance(node, list):
        for value in node:
            _make_whole(value)
