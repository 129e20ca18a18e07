"""The OpenAPI document: FastAPI's, with the security scheme and only statuses that can happen."""

import json
from typing import Any

from fastapi import FastAPI

from runtime.api.auth import SECURITY_SCHEME
from runtime.problems import MEDIA_TYPE


def install(app: FastAPI) -> None:
    """Make the document once, when it is first asked for."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            components = document.setdefault("components", {})
            components["securitySchemes"] = SECURITY_SCHEME
            for path in document["paths"].values():
                for operation in path.values():
                    _tidy(operation)
            for unused in ("HTTPValidationError", "ValidationError"):
                components.get("schemas", {}).pop(unused, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


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
