"""Google's access tokens for the API's connector, fetched beside the event loop.

The connector fetches them inside the loop, with a deadline of two minutes: one slow answer would stop every request of
the worker. So they are fetched in a thread, before the connector asks, and it finds them ready.
"""

import asyncio
from functools import partial
from typing import Any

import google.auth
from google.auth.credentials import Credentials, TokenState
from google.auth.transport.requests import Request

ADMIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.admin"
LOGIN_SCOPE = "https://www.googleapis.com/auth/sqlservice.login"
# Of one request to Google; whoever waits for a connection may give up earlier.
REQUEST_SECONDS = 10


class Tokens(Credentials):
    """Credentials as the connector wants them, which take what `renew` fetched.

    The connector copies them and names `LOGIN_SCOPE` in the copy for the token that is the password.
    """

    def __init__(self, admin: Credentials, login: Credentials) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
        self._scopes = [ADMIN_SCOPE]
        self._sources = {ADMIN_SCOPE: admin, LOGIN_SCOPE: login}

    @classmethod
    async def default(cls) -> "Tokens":
        """Of the application default credentials.

        Raises:
            google.auth.exceptions.DefaultCredentialsError: there are none.
        """
        # It may ask a metadata server.
        return cls(
            *[(await asyncio.to_thread(google.auth.default, [scope]))[0] for scope in (ADMIN_SCOPE, LOGIN_SCOPE)]
        )

    async def renew(self) -> None:
        """Fetch what has run out or soon will.

        Raises:
            google.auth.exceptions.GoogleAuthError: Google does not give a token.
        """
        request = partial(Request(), timeout=REQUEST_SECONDS)
        for source in self._sources.values():
            if source.token_state is not TokenState.FRESH:
                await asyncio.to_thread(source.refresh, request)

    def refresh(self, _request: Any) -> None:
        """Take what is there; google-auth's name."""
        (scope,) = self._scopes
        source = self._sources[scope]
        self.token, self.expiry = source.token, source.expiry
