"""The API as the demonstration calls it: over HTTP, on this machine only, each call with a deadline."""

import ipaddress
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from runbooks.demo.errors import DemoError
from runtime.fields import Listed
from runtime.problems import TYPE_PREFIX, ProblemDocument

# To connect, and for each part of the answer; the API gives up by itself after REQUEST_TIMEOUT.
CALL_SECONDS = 15.0
PAGE_ROWS = 500

Answer = TypeVar("Answer", bound=BaseModel)
Page = TypeVar("Page", bound=Listed)


class RefusedError(DemoError):
    """The API answered with a problem.

    Args:
        code: which one, such as "foreign-token".
        message: for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ApiClient:
    """One caller of the API; several threads may share it.

    Args:
        url: of the API.
        key: an API key.

    Raises:
        DemoError: the address is not one of this machine's own: the demonstration writes rows.
    """

    def __init__(self, url: str, key: str) -> None:
        if not _is_loopback(url):
            message = "--api: write http://127.0.0.1:PORT; the demonstration writes rows, so it stays on this machine"
            raise DemoError(message)
        self.url = url
        # No proxy, whatever the environment says.
        self._http = httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=CALL_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, kind: type[Answer], path: str, **query: str | int | None) -> Answer:
        """Read one thing.

        Raises:
            DemoError: no answer, a refusal, or an answer that is not what the API documents.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._read(kind, self._call("GET", path, params=given))

    def pages(self, kind: type[Page], path: str, **query: str | int) -> Iterator[Page]:
        """Read a list, page by page, to its end."""
        cursor: str | None = None
        while True:
            page = self.get(kind, path, limit=PAGE_ROWS, cursor=cursor, **query)
            yield page
            cursor = page.next_cursor
            if cursor is None:
                return

    def post(self, kind: type[Answer], path: str, body: dict[str, Any]) -> Answer:
        """Write something new, as `get` reads."""
        return self._read(kind, self._call("POST", path, json=body))

    def post_for(self, kind: type[Answer], path: str, body: dict[str, Any]) -> Answer | None:
        """The same, where the API may have nothing to give."""
        content = self._call("POST", path, json=body)
        return self._read(kind, content) if content else None

    def patch(self, kind: type[Answer], path: str, body: dict[str, Any]) -> Answer:
        """Change something."""
        return self._read(kind, self._call("PATCH", path, json=body))

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            message = f"the API at {self.url} does not answer {method} {path}: {error or type(error).__name__}"
            raise DemoError(message) from None
        if response.is_success:
            return response.content
        raise self._refusal(method, path, response)

    def _refusal(self, method: str, path: str, response: httpx.Response) -> DemoError:
        call = f"{method} {path}"
        try:
            problem = ProblemDocument.model_validate_json(response.content)
        except ValidationError:
            return DemoError(f"{self.url} answers {call} with status {response.status_code}; is it a Holdfast API?")
        return RefusedError(
            problem.type.removeprefix(TYPE_PREFIX), f"the API refuses {call}: {problem.title}: {problem.detail}"
        )

    def _read(self, kind: type[Answer], content: bytes) -> Answer:
        try:
            return kind.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            message = f"{self.url} does not answer as documented ({kind.__name__}: {where}: {first['msg']})"
            raise DemoError(message) from None


def _is_loopback(url: str) -> bool:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    if address.scheme not in {"http", "https"}:
        return False
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return address.host == "localhost"
