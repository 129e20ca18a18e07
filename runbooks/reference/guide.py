"""What holds for every operation: how to call it, who may, what goes wrong, and how much is taken."""

from collections.abc import Iterable

from runbooks.reference import client
from runbooks.reference.document import PROBLEM_MEDIA_TYPE, Document, Operation
from runbooks.reference.fields import described
from runbooks.reference.markdown import block, code, link, sentence, table
from runtime.api import auth
from runtime.problems import RETRY_AFTER_SECONDS
from runtime.settings import ApiSettings

PROBLEM = "ProblemDocument"
HEADINGS = ("How to call it", "Authentication", "Lists", "Headers", "Errors", "Limits")


def guide(document: Document, operations: list[Operation], everyones: set[str]) -> Iterable[str]:
    """The sections before the operations'.

    Args:
        document: the OpenAPI document.
        operations: its operations.
        everyones: the codes of the problems that every guarded operation has.
    """
    sections = (
        _calling(),
        _authentication(document, operations),
        _lists(operations),
        _headers(document, operations),
        _errors(operations, everyones),
        _limits(),
    )
    for heading, section in zip(HEADINGS, sections, strict=True):
        yield f"## {heading}"
        yield from section


def _calling() -> Iterable[str]:
    yield (
        "`holdfast up` prints an address and a key. Each example below goes on from these lines, with the address in "
        "`API` and the key in `KEY`:"
    )
    yield block("python", client.SETUP)
    yield (
        "An example prints the status and the answer that is shown below it. Answers are JSON; times have an offset, "
        "and are in UTC. A parameter or a field that this page does not name is refused."
    )


def _authentication(document: Document, operations: list[Operation]) -> Iterable[str]:
    schemes = document["components"]["securitySchemes"]
    yield table(
        ["way", "sent as", "about"],
        [
            (
                code(name),
                code(f"{scheme['name']}: …" if "name" in scheme else f"Authorization: {scheme['scheme'].title()} …"),
                sentence(scheme["description"]),
            )
            for name, scheme in schemes.items()
        ],
    )
    scopes = sorted({scope for operation in operations for scope in operation.scopes})
    yield (
        "Every operation that is not marked as open needs a credential, with the scope that its section names: "
        f"{', '.join(map(code, scopes))}. A revoked key may go on working for {auth.CACHE_SECONDS:g} second."
    )


def _lists(operations: list[Operation]) -> Iterable[str]:
    limits = [
        parameter["schema"]
        for operation in operations
        for parameter in operation.parameters
        if parameter["name"] == "limit"
    ]
    most = max(limit["maximum"] for limit in limits)
    yield (
        f"A list has a page of at most `limit` rows ({most:,g} at most), how many they are as `count`, and "
        "`next_cursor`: send it as `cursor`, with the same filters, for the next page. It is null on the last "
        "one. The order is stable: rows that are added meanwhile neither repeat nor hide others."
    )


def _headers(document: Document, operations: list[Operation]) -> Iterable[str]:
    sent = {
        parameter["name"]: (f"{parameter['name']}: {parameter.get('example', '…')}", parameter)
        for operation in operations
        for parameter in operation.parameters
        if parameter["in"] == "header"
    }
    if sent:
        yield "With a request, where its section names them:"
        yield table(
            ["header", "type", "about"],
            [
                (code(shown), described(parameter["schema"], document), parameter.get("description", ""))
                for shown, parameter in sent.values()
            ],
        )
    answered = {
        name: (f"{name}: {header.get('example', '…')}", header)
        for operation in operations
        for response in operation.description["responses"].values()
        for name, header in response.get("headers", {}).items()
    }
    yield "With an answer:"
    request_id = ("`X-Request-Id: …`", "The id of the request in the log; yours, if you sent one.")
    yield table(
        ["header", "about"],
        [request_id, *((code(shown), header.get("description", "")) for shown, header in answered.values())],
    )


def _errors(operations: list[Operation], everyones: set[str]) -> Iterable[str]:
    yield (
        f"An error is a problem document (RFC 9457, `{PROBLEM_MEDIA_TYPE}`), a {link(PROBLEM, PROBLEM)}. Its `type` "
        "ends with the code, by which a program tells problems apart."
    )
    found = {name: value for operation in operations for name, value in operation.problems.items()}
    ordered = sorted(found.items(), key=lambda item: (item[1]["status"], item[0]))
    yield table(
        ["status", "code", "title", "when"],
        [(str(value["status"]), code(name), value["title"], value["detail"]) for name, value in ordered],
    )
    listed = ", ".join(code(name) for name, _ in ordered if name in everyones)
    yield f"Every operation that is not open may answer {listed}; its section names the others."


def _limits() -> Iterable[str]:
    yield "What a platform takes where its settings say nothing else:"
    seconds, size = _setting("request_timeout"), _setting("max_body_bytes")
    quota, window = _setting("rate_limit"), _setting("rate_limit_window")
    yield table(
        ["setting", "default", "means"],
        [
            ("`MAX_BODY_BYTES`", f"{size:,}", "A larger body is refused."),
            ("`RATE_LIMIT`", f"{quota:,}", f"Requests of a principal in a window of `RATE_LIMIT_WINDOW`, {window} s."),
            (
                "`REQUEST_TIMEOUT`",
                f"{seconds:g} s",
                f"A request that is not answered by then gets 503, to be sent again after {RETRY_AFTER_SECONDS} s.",
            ),
        ],
    )


def _setting(name: str) -> int:
    return int(ApiSettings.model_fields[name].default)
