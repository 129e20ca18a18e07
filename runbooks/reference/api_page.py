"""runtime/API.md: every operation, made from the OpenAPI document."""

from collections.abc import Iterable
from itertools import groupby

from runbooks.reference import client
from runbooks.reference.document import Answer, Document, Operation, operations, reference, references, resolve
from runbooks.reference.fields import default, described, rows
from runbooks.reference.guide import HEADINGS, guide
from runbooks.reference.layout import json_text
from runbooks.reference.markdown import block, code, link, sentence, table

FIELDS = ("field", "type", "default", "about")


def api_page(document: Document) -> str:
    """The page.

    Raises:
        DocumentationError: a value that an example must send has no example.
    """
    return "\n\n".join(part for part in _Page(document).parts() if part) + "\n"


class _Page:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._schemas = document["components"]["schemas"]
        self._operations = list(operations(document))
        guarded = [operation for operation in self._operations if operation.schemes]
        # What every guarded operation has is said once.
        self._problems = set.intersection(*(set(operation.problems) for operation in guarded))
        self._headers = set.intersection(*(set(operation.success.headers) for operation in guarded))

    def parts(self) -> Iterable[str]:
        yield f"# {self._document['info']['title']}: API reference"
        yield (
            "`make docs` makes this page from the code. A test compares it, and another executes each Python example. "
            "For programs there is [openapi.json](openapi.json); a running API has the same at `/docs`."
        )
        yield " · ".join(link(name, name) for name in (*HEADINGS, "Schemas"))
        for tag, group in _by_tag(self._operations):
            yield self._contents(tag, group)
        yield from guide(self._document, self._operations, self._problems)
        for tag, group in _by_tag(self._operations):
            yield f"## {_title(tag)}"
            for operation in group:
                yield from self._operation(operation)
        yield "## Schemas"
        yield "In an answer every field is there, with null where there is no value."
        for name in self._listed():
            yield from self._schema(name)

    def _contents(self, tag: str, group: Iterable[Operation]) -> str:
        return table(
            [_title(tag), "does", "scope"],
            [
                (link(code(operation.heading), operation.heading), sentence(operation.summary), _scopes(operation))
                for operation in group
            ],
        )

    def _operation(self, operation: Operation) -> Iterable[str]:
        yield f"### {operation.heading}"
        needs = _scopes(operation)
        yield f"{sentence(operation.summary)} {'Open to all.' if needs == 'open' else f'Needs {needs}.'}"
        yield (
            ""
            if not operation.parameters
            else table(
                ["parameter", "in", "type", "default", "about"],
                [
                    (
                        code(parameter["name"]),
                        parameter["in"],
                        # A query has no null: leaving a parameter out is the same.
                        described(parameter["schema"], self._document).removesuffix(" or null"),
                        "required" if parameter["required"] else default(parameter["schema"]),
                        parameter.get("description", "") if parameter["in"] != "header" else link("Headers", "Headers"),
                    )
                    for parameter in operation.parameters
                ],
            )
        )
        if operation.body is not None:
            body = resolve(operation.body, self._document)
            yield f"Body: {sentence(body.get('description', 'JSON'))}"
            yield table(FIELDS, rows(body, self._document, sent=True))
        yield block("python", client.call(operation, self._document))
        yield from self._answer(operation.success)
        for other in operation.others:
            yield f"Or `{other.status}`: {sentence(other.response['description'])}"
        problems = sorted(
            (value["status"], name) for name, value in operation.problems.items() if name not in self._problems
        )
        listed = ", ".join(f"{status} {link(code(name), 'Errors')}" for status, name in problems)
        yield f"Problems: {listed}." if listed else ""

    def _answer(self, answer: Answer) -> Iterable[str]:
        name = reference(answer.content.get("schema", {}))
        what = link(name, name) if name else code(answer.media_type) if answer.media_type else "no body"
        own = ", ".join(code(header) for header in answer.headers if header not in self._headers)
        says = f"Answers `{answer.status}`, {what}{', with ' if own else ''}{own}"
        if answer.example is None:
            yield f"{says}."
        else:
            yield f"{says}:"
            is_json = answer.media_type.endswith("json")
            yield block("json", json_text(answer.example)) if is_json else block("text", str(answer.example).rstrip())

    def _listed(self) -> list[str]:
        """All schemas but those shown where they are sent, and sets of values, which are shown where they are used."""
        bodies = {reference(operation.body) for operation in self._operations if operation.body is not None}
        elsewhere = references(list(self._schemas.values()))
        return sorted(
            name
            for name, schema in self._schemas.items()
            if "enum" not in schema and (name not in bodies or name in elsewhere)
        )

    def _schema(self, name: str) -> Iterable[str]:
        schema = self._schemas[name]
        yield f"### {name}"
        yield sentence(schema.get("description", ""))
        yield table(FIELDS, rows(schema, self._document, sent=name in self._sent()))

    def _sent(self) -> set[str]:
        """The schemas that bodies consist of."""
        found: set[str] = set()
        pending = references([operation.body for operation in self._operations])
        while pending:
            found |= pending
            pending = references([self._schemas[name] for name in pending]) - found
        return found


def _by_tag(found: list[Operation]) -> list[tuple[str, list[Operation]]]:
    tags = list(dict.fromkeys(operation.tag for operation in found))
    ordered = sorted(found, key=lambda operation: tags.index(operation.tag))
    return [(tag, list(group)) for tag, group in groupby(ordered, key=lambda operation: operation.tag)]


def _title(tag: str) -> str:
    return tag.capitalize() if tag.islower() else tag


def _scopes(operation: Operation) -> str:
    return " ".join(map(code, operation.scopes)) or ("a credential" if operation.schemes else "open")
