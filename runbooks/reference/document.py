"""The OpenAPI document, as the application makes it, and ways to look into it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from runbooks.local.environment import runtime_settings
from runtime.api.app import create_app

Schema = dict[str, Any]
Document = dict[str, Any]

PROBLEM_MEDIA_TYPE = "application/problem+json"


def openapi_document() -> Document:
    """The document of this checkout's application. It needs no database: nothing is served."""
    # Neither is ever used, and no setting of the caller's can change the document.
    values = {"DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing", "SECRET_KEY": secrets.token_hex()}
    return create_app(runtime_settings({**values, "LOG_LEVEL": "ERROR"})).openapi()


@dataclass(frozen=True)
class Answer:
    """One answer of an operation."""

    status: int
    media_type: str
    content: dict[str, Any]
    response: dict[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether the operation was carried out."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_problem(self) -> bool:
        """Whether it was refused, or failed."""
        return self.status >= HTTPStatus.BAD_REQUEST

    @property
    def headers(self) -> dict[str, dict[str, Any]]:
        """What comes in its head."""
        return dict(self.response.get("headers", {}))

    @property
    def example(self) -> Any:
        """What it looks like; None where that is not said."""
        several = [shown["value"] for shown in self.content.get("examples", {}).values()]
        return self.content.get("example", several[0] if several else None)


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    method: str
    path: str
    description: dict[str, Any]

    @property
    def heading(self) -> str:
        """What its section is called."""
        return f"{self.method.upper()} {self.path}"

    @property
    def tag(self) -> str:
        """The group that it belongs to."""
        return str(self.description.get("tags", ["other"])[0])

    @property
    def summary(self) -> str:
        """What it does, in a sentence or two."""
        return str(self.description.get("description") or self.description["summary"])

    @property
    def schemes(self) -> list[str]:
        """The ways to authenticate; none for what is open."""
        return [name for way in self.description.get("security", []) for name in way]

    @property
    def scopes(self) -> list[str]:
        """The scopes that the credential needs."""
        found = (scope for way in self.description.get("security", []) for scopes in way.values() for scope in scopes)
        return list(dict.fromkeys(found))

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """What goes into the path, the query and the headers."""
        return list(self.description.get("parameters", []))

    @property
    def body(self) -> Schema | None:
        """The schema of what is sent."""
        content = self.description.get("requestBody", {}).get("content", {})
        return next((described["schema"] for described in content.values()), None)

    @property
    def success(self) -> "Answer":
        """The answer when all is well, with a body if there is one; of what is only refused, the refusal."""
        return min(self._answers(), key=lambda answer: (not answer.is_success, not answer.media_type, -answer.status))

    @property
    def others(self) -> list["Answer"]:
        """The other answers that are not problems: an empty one, or one that says that nothing changed."""
        return [answer for answer in self._answers() if answer != self.success and not answer.is_problem]

    def _answers(self) -> list["Answer"]:
        return [
            Answer(int(status), media_type, content, response)
            for status, response in self.description["responses"].items()
            for media_type, content in (response.get("content") or {"": {}}).items()
        ]

    @property
    def problems(self) -> dict[str, dict[str, Any]]:
        """By code, an example of each problem that it answers with."""
        return {
            code: example["value"]
            for response in self.description["responses"].values()
            for code, example in response.get("content", {}).get(PROBLEM_MEDIA_TYPE, {}).get("examples", {}).items()
        }


def operations(document: Document) -> Iterator[Operation]:
    """Each operation, in the document's order."""
    for path, item in document["paths"].items():
        for method, description in item.items():
            yield Operation(method, path, description)


def resolve(schema: Schema, document: Document) -> Schema:
    """The schema that a reference leads to, or the schema itself."""
    name = reference(schema)
    return schema if name is None else {**document["components"]["schemas"][name], **_beside(schema)}


def reference(schema: Schema) -> str | None:
    """The name of the schema that this one refers to."""
    target = schema.get("$ref")
    return None if target is None else str(target).rpartition("/")[2]


def references(node: object) -> set[str]:
    """The names of all schemas that are referred to, at any depth of the node itself."""
    if isinstance(node, dict):
        own = {str(node["$ref"]).rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def _beside(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "$ref"}
