"""One call of the Admin API: sent, judged, and sent again where that is right."""

import datetime as dt
import email.utils
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import requests
import structlog
import urllib3.exceptions
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from pydantic import BaseModel, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from runtime import __version__
from runtime.cloudsql.errors import (
    CloudSqlError,
    CredentialsRefusedError,
    InvalidRequestError,
    OutcomeUnknownError,
    UnavailableError,
    UnexpectedAnswerError,
    refusal,
)

M = TypeVar("M", bound=BaseModel)
Query = Mapping[str, str | int | bool | None]
# Is given HTTP's method and the path of a call that is about to be sent, and raises if it may not be.
Permit = Callable[[str, str], None]
CONNECT_SECONDS = 10.0
# Enough for a project's instances or backups; a service that always has another page ends there.
MOST_PAGES = 1000

log = structlog.get_logger()


class Transport:
    """The HTTP half of the client.

    Args:
        endpoint: the service's address, without a path.
        project: whose resources the calls are about.
        session: with credentials.
        patience: seconds during which a refused call is sent again; none begins after them.
        request_timeout: seconds that the service may be silent during one request.
        permit: is asked before each call is sent.
    """

    def __init__(
        self,
        endpoint: str,
        project: str,
        session: AuthorizedSession,
        *,
        patience: float,
        request_timeout: float,
        permit: Permit | None = None,
    ) -> None:
        self._endpoint = endpoint.rstrip("/")
        self.project = project
        self._session = session
        self.patience = patience
        self.request_timeout = request_timeout
        self._permit = permit
        self._backoff = wait_random_exponential(multiplier=0.25, max=30)

    def within(self, patience: float) -> "Transport":
        """The same connections with other patience."""
        return Transport(
            self._endpoint,
            self.project,
            self._session,
            patience=patience,
            request_timeout=self.request_timeout,
            permit=self._permit,
        )

    def read(self, model: type[M], method: str, *segments: str, about: str, **call: Any) -> M:
        """Send a call, again if need be, and read its answer as a model."""
        return parsed(model, self.send(method, *segments, about=about, **call), about)

    def items(
        self, model: type[M], *segments: str, about: str, query: Query | None = None, limit: int | None = None
    ) -> list[M]:
        """Read a list through its pages, up to a limit."""
        found: list[M] = []
        page: str | None = None
        for _ in range(MOST_PAGES):
            asked = {**(query or {}), "pageToken": page}
            answer = self.send("GET", *segments, about=about, query=asked)
            entries = answer.get("items", [])
            if not isinstance(entries, list):
                raise UnexpectedAnswerError(about, "the answer's items are not a list")
            found += [parsed(model, entry, about) for entry in entries]
            page = answer.get("nextPageToken")
            if not page or (limit is not None and len(found) >= limit):
                return found[:limit]
        raise UnexpectedAnswerError(about, f"the list has more than {MOST_PAGES} pages")

    def send(
        self, method: str, *segments: str, about: str, query: Query | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send a call until it is accepted, refused for good, or patience ends.

        Args:
            method: HTTP's.
            segments: the path below the project.
            about: what it is about, for messages: `instance orders`.
            query: parameters; None leaves one out.
            body: JSON.

        Raises:
            CloudSqlError: its class says why.
        """

        def tell(state: RetryCallState) -> None:
            error = state.outcome and state.outcome.exception()
            log.info(
                "cloudsql_call_repeated",
                about=about,
                method=method,
                attempt=state.attempt_number,
                error=type(error).__name__,
                seconds=round(state.upcoming_sleep, 3),
            )

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, CloudSqlError) and error.may_repeat),
            stop=stop_before_delay(self.patience),
            wait=self._pause,
            before_sleep=tell,
            reraise=True,
        )
        return retrying(self.once, method, *segments, about=about, query=query, body=body)

    def once(
        self,
        method: str,
        *segments: str,
        about: str,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Send a call one time, with at most so many seconds of silence."""
        path = f"/v1/projects/{_path(about, (self.project, *segments))}"
        if self._permit is not None:
            self._permit(method, path)
        seconds = timeout or self.request_timeout
        try:
            response = self._session.request(  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
                method,
                f"{self._endpoint}{path}",
                params={name: _text(value) for name, value in (query or {}).items() if value is not None},
                # As `data`, google-auth's debugging log would show it, and passwords with it.
                json=body,
                timeout=(min(CONNECT_SECONDS, seconds), seconds),
                # Nowhere else does anyone get the token.
                allow_redirects=False,
            )
        except GoogleAuthError as error:
            raise _without_token(about, error) from None
        except requests.RequestException as error:
            raise _unanswered(about, error, is_change=method != "GET") from None
        return self._judged(response, about, is_change=method != "GET")

    def _judged(self, response: requests.Response, about: str, *, is_change: bool) -> dict[str, Any]:
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if not 200 <= response.status_code < 300:  # noqa: PLR2004  # HTTP's
            raise refusal(
                about,
                response.status_code,
                self._without_secrets(answer),
                retry_after=_retry_after(response.headers.get("Retry-After")),
                is_change=is_change,
            )
        if not isinstance(answer, dict):
            what = f"HTTP {response.status_code} without a JSON object"
            raise UnexpectedAnswerError(about, what, status=response.status_code)
        return answer

    def _without_secrets(self, answer: object) -> object:
        token = getattr(self._session.credentials, "token", None)
        detail = answer.get("error") if isinstance(answer, dict) else None
        if not token or not isinstance(detail, dict) or not isinstance(detail.get("message"), str):
            return answer
        return {"error": {**detail, "message": detail["message"].replace(token, "…")}}

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        asked = error.retry_after if isinstance(error, CloudSqlError) else None
        # The random part keeps clients that were told the same apart.
        return (asked or 0.0) + self._backoff(state)


def authorized(credentials: Credentials, *, is_local: bool) -> AuthorizedSession:
    """A session with these credentials; a local one knows neither proxies nor .netrc."""
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
    session.trust_env = not is_local
    # On one that is kept, the service may hang up just when a change is sent, and nobody knows whether it began.
    session.headers["Connection"] = "close"
    session.headers["User-Agent"] = f"holdfast/{__version__}"
    return session


def parsed(model: type[M], answer: object, about: str) -> M:
    """An answer as a model.

    Raises:
        UnexpectedAnswerError: it is not one; names the fields, not their values.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, detail["loc"])) or "body" for detail in error.errors()}))
        raise UnexpectedAnswerError(about, f"the answer is no {model.__name__}, see {fields}") from None


def timestamp(name: str, moment: dt.datetime) -> str:
    """A moment as Google writes it.

    Raises:
        InvalidRequestError: it has no time zone.
    """
    if moment.utcoffset() is None:
        raise InvalidRequestError(name, f"{moment.isoformat()} has no time zone")
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _path(about: str, segments: tuple[str, ...]) -> str:
    for segment in segments:
        # HTTP would read them as another resource's path.
        if segment in {"", ".", ".."}:
            raise InvalidRequestError(about, f"{segment!r} is not a name")
    return "/".join(quote(segment, safe="") for segment in segments)


def _text(value: str | int | bool) -> str:  # noqa: FBT001  # a query's value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _retry_after(header: str | None) -> float | None:
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - dt.datetime.now(dt.UTC)).total_seconds())


def _without_token(about: str, error: GoogleAuthError) -> CloudSqlError:
    what = f"no access token ({type(error).__name__})"
    if isinstance(error, TransportError) or error.retryable:
        return UnavailableError(about, what, may_repeat=True)
    return CredentialsRefusedError(about, what)


def _unanswered(about: str, error: requests.RequestException, *, is_change: bool) -> CloudSqlError:
    what = f"the Cloud SQL Admin API does not answer ({type(error).__name__})"
    if not is_change or _was_not_sent(error):
        # A certificate that is not believed now will not be a moment later.
        return UnavailableError(about, what, may_repeat=not isinstance(error, requests.exceptions.SSLError))
    return OutcomeUnknownError(about, what)


def _was_not_sent(error: requests.RequestException) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError)
