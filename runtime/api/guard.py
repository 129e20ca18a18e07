"""Whether a caller may, and how often: before the body is read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from runtime.api import reads
from runtime.api.auth import SECURITY_SCHEMES, authenticate
from runtime.platform.scopes import Scope
from runtime.problems import FieldError, Forbidden, InvalidInput


def guarded_route(system: str) -> type[APIRoute]:
    """Routes of a system: reading needs the scope `<system>:read`, all else `<system>:write`."""

    class GuardedRoute(APIRoute):
        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            self.reads = options.get("methods") in (["GET"], {"GET"})
            self.scope = Scope(f"{system}:{'read' if self.reads else 'write'}")
            extra = options.get("openapi_extra") or {}
            options["openapi_extra"] = {**extra, "security": [{name: [str(self.scope)]} for name in SECURITY_SCHEMES]}
            super().__init__(path, endpoint, **options)
            if self.reads:
                self.app = reads.application(self.get_route_handler())

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = reads.handler(self.endpoint) if self.reads else super().get_route_handler()
            scope = self.scope
            # A list refuses by its model what it does not know.
            takes_query = bool(self.dependant.query_params)

            async def authorise(request: Request) -> Response:
                caller = request.state.caller = await authenticate(request)
                # Before the scope: who may do nothing may not ask for ever either.
                request.app.state.rate_limiter.admit(caller.principal_id, request.state.headers)
                if not caller.may(scope):
                    message = f"this needs the scope {scope}; the credential has {', '.join(sorted(caller.scopes))}"
                    raise Forbidden(message)
                if request.scope["query_string"] and not takes_query:
                    _refuse_query(request)
                return await answer(request)

            return authorise

    return GuardedRoute


def _refuse_query(request: Request) -> None:
    errors = [
        FieldError(field=name, message="is no parameter of this operation; leave it out")
        for name in request.query_params
    ]
    if errors:
        message = f"{errors[0].field}: {errors[0].message}"
        raise InvalidInput(message, errors=errors)
