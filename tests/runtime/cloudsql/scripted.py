"""A real HTTP server in the Admin API's place: it says what the test wrote down, within Google's contract."""

import http.server
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from runbooks.local.ports import HOST
from tests.runtime.cloudsql.contract import check_answer, check_request, method_of


@dataclass(frozen=True)
class Answer:
    """What is said to one request: JSON by the contract, other bytes, or nothing at all."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    instead: Literal["hang", "drop"] | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: Mapping[str, str]


def refused(status: int, reason: str, message: str = "no", **headers: str) -> Answer:
    """An error in Google's shape."""
    errors = [{"message": message, "domain": "global", "reason": reason}]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer({"error": {"code": status, "message": message, "errors": errors}}, status, named)


class AdminApi:
    """The server.

    `asked` is what it was asked, over connections from `callers`; `faults` is what broke the contract, and fails the
    test.
    """

    def __init__(self, *answers: Answer, port: int = 0) -> None:
        self.asked: list[Asked] = []
        self.faults: list[str] = []
        self.callers: set[tuple[str, int]] = set()
        self._answers: Iterator[Answer] = iter(answers)
        self._closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer((HOST, port), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}"

    def says(self, *answers: Answer, forever: Iterable[Answer] = ()) -> None:
        """From now on: these, in order, and then the others."""

        def script() -> Iterator[Answer]:
            yield from answers
            yield from forever

        self._answers = script()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked = Asked(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))),
            json.loads(content) if content else None,
            {name.lower(): value for name, value in handler.headers.items()},
        )
        self.asked.append(asked)
        self.callers.add(handler.client_address)
        answer = next(self._answers, None)
        try:
            assert answer is not None, f"{asked.method} {asked.path}: no answer was written down"
            method = method_of(asked.method, asked.path)
            check_request(method, asked.query, asked.body)
            if answer.status == 200 and answer.raw is None and answer.instead is None:
                check_answer(method, answer.body)
        except AssertionError as error:
            self.faults.append(str(error))
            answer = refused(400, "contract", str(error))
        self._give(handler, answer)

    def _give(self, handler: http.server.BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.instead == "hang":
            self._closing.wait()
        if answer.instead is not None:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        content = answer.raw if answer.raw is not None else json.dumps(answer.body).encode()
        handler.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        # As HTTP wants it of a server that was asked to hang up.
        if handler.close_connection:
            handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)


def _handler_of(api: AdminApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The two parts of an answer must not wait for each other.
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            api.answer(self)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the library's names

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler
