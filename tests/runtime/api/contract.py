"""The OpenAPI document as a judge of answers."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

Document = dict[str, Any]
JSON, PROBLEM = "application/json", "application/problem+json"
OPEN = {("get", "/health/live"), ("get", "/health/ready")}

formats = FormatChecker()


@formats.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or dt.datetime.fromisoformat(value).tzinfo is not None


def document_of(client: httpx.AsyncClient) -> Document:
    """The document of the client's application."""
    return application_of(client).openapi()  # type: ignore[no-any-return]


def application_of(client: httpx.AsyncClient) -> Any:
    """The application that a client calls in this process."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return transport.app


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def faults(value: object, schema: dict[str, Any], document: Document) -> list[str]:
    """What of a value does not fit a schema of the document."""
    validator = Draft202012Validator({**schema, "components": document["components"]}, format_checker=formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def assert_documented(answer: httpx.Response, operation: dict[str, Any], document: Document) -> None:
    """The answer's status is one of the operation's, and its body fits that status' schema."""
    described = operation["responses"].get(str(answer.status_code))
    assert described is not None, f"{answer.status_code} is not documented: {answer.text}"
    if "content" not in described:
        assert answer.content == b""
        return
    media_type = answer.headers["content-type"]
    assert media_type in described["content"]
    assert faults(answer.json(), described["content"][media_type]["schema"], document) == []


def assert_problem(
    answer: httpx.Response, status: int, code: str | None = None, *fields: str, document: Document | None = None
) -> dict[str, Any]:
    """The answer is a problem document of this status and code that names exactly these fields."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    if document is not None:
        assert faults(body, {"$ref": "#/components/schemas/ProblemDocument"}, document) == []
    if code is not None:
        assert body["type"] == f"urn:holdfast:problem:{code}"
    if fields:
        assert sorted(error["field"] for error in body["errors"]) == sorted(fields), body
    return body
