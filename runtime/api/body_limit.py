"""How large a body may be: told by its length before any of it is read, else counted while it is."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.problems import PayloadTooLarge

# Their bodies are never read.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
# Digits of a length that is worth reading.
_LONGEST_NUMBER = 18


class BodyLimit:
    """Refuses bodies that are too large, when they are asked for: a call without a credential is refused for that.

    Args:
        app: what answers.
        most: bytes of a body.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        count = 0

        async def receive_within_limit() -> Message:
            nonlocal count
            if not count and _length(scope) > self._most:
                raise self._refusal()
            message = await receive()
            count += len(message.get("body", b""))
            if count > self._most:
                raise self._refusal()
            return message

        await self._app(scope, receive_within_limit, send)

    def _refusal(self) -> HTTPException:
        # FastAPI lets only this pass through its reading of bodies; `runtime.api.errors` makes the problem of it.
        return HTTPException(PayloadTooLarge.status, f"the body may have {self._most} bytes; send it in parts")


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            # Whatever else it says, the body is counted.
            return int(value) if value.isdigit() and len(value) <= _LONGEST_NUMBER else 0
    return 0
