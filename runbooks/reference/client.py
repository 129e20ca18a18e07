"""The call of an operation in Python, and what comes before it."""

from typing import Any
from urllib.parse import quote

from runbooks.reference.document import Document, Operation
from runbooks.reference.fields import example, has_example
from runbooks.reference.layout import WIDTH, python_text

SETUP = """\
import os

import httpx

api = httpx.Client(base_url=os.environ["API"], headers={"X-API-Key": os.environ["KEY"]})"""


def call(operation: Operation, document: Document) -> str:
    """A call that is complete but for `api`, the client of `SETUP`. It prints the status and the answer.

    Raises:
        DocumentationError: a value that must be sent has no example.
    """
    sent: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.parameters:
        if parameter["required"] or (parameter["in"] == "query" and has_example(parameter["schema"])):
            where = f"{operation.heading}: {parameter['name']}"
            sent[parameter["in"]][parameter["name"]] = example(parameter["schema"], document, where)
    path = operation.path
    for name, value in sent["path"].items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    arguments = [python_text(path)]
    if sent["query"]:
        arguments.append(f"params={python_text(sent['query'])}")
    if sent["header"]:
        arguments.append(f"headers={python_text(sent['header'])}")
    if operation.body is not None:
        arguments.append(f"json={python_text(example(operation.body, document, operation.heading))}")
    content = "answer.json()" if operation.success.media_type.endswith("json") else "answer.text"
    return f"{_call(operation.method, arguments)}\nprint(answer.status_code, {content})"


def _call(method: str, arguments: list[str]) -> str:
    line = f"answer = api.{method}({', '.join(arguments)})"
    if "\n" in line or len(line) <= WIDTH:
        return line
    return f"answer = api.{method}(\n{''.join(f'    {argument},{chr(10)}' for argument in arguments)})"
