"""Finding a request's route by its path, where Starlette would try one route after the other."""

from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

_Key = tuple[str, str]


class Index(BaseRoute):
    """Stands before the routes and finds most of them; what it does not find is left to the search.

    Args:
        routes: those with no parameter in their path, or one as its last part, can be found.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._fixed: dict[_Key, APIRoute] = {}
        self._open: dict[_Key, APIRoute] = {}
        for route in routes:
            if not isinstance(route, APIRoute):
                continue
            folder, _, last = route.path.rpartition("/")
            for method in route.methods or ():
                if "{" not in route.path:
                    self._fixed[method, route.path] = route
                elif "{" not in folder and last == f"{{{next(iter(route.param_convertors))}}}":
                    self._open[method, folder] = route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette's question to a route."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path, method = get_route_path(scope), scope["method"]
        route = self._fixed.get((method, path)) or self._open.get((method, path.rpartition("/")[0]))
        return route.matches(scope) if route is not None else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that was found."""
        await scope["route"].handle(scope, receive, send)
