"""The servers that are compared give the same rows."""

import datetime as dt
import http.client
import json
import re
from collections.abc import Mapping
from typing import Any

from runbooks.local.ports import HOST
from tests.bench.client import LoadError

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class DifferentAnswersError(Exception):
    """Two servers do not answer the same: a comparison of their speed would mean nothing."""


def ours_list(limit: int = 100) -> str:
    """Our list."""
    return f"/api/experiments?limit={limit}"


def ours_point(ident: str) -> str:
    """One of our experiments."""
    return f"/api/experiments/{ident}"


def plain_list(limit: int = 100) -> str:
    """The plain application's list."""
    return f"/experiments?limit={limit}"


def plain_point(ident: str) -> str:
    """One of the plain application's experiments."""
    return f"/experiments/{ident}"


def postgrest_list(limit: int = 100) -> str:
    """PostgREST's list."""
    return f"/experiments?order=created_at.desc,id.desc&limit={limit}"


def postgrest_point(ident: str) -> str:
    """One of PostgREST's experiments."""
    return f"/experiment?id=eq.{ident}"


def from_ours(answer: Any) -> Any:
    """Our answer as the plain application writes it."""
    if "experiments" in answer:
        return answer["experiments"]
    return {**answer["experiment"], "optimization_run": answer["optimization_run"]}


def fetch(port: int, path: str, headers: Mapping[str, str] | None = None) -> Any:
    """An answer's JSON.

    Raises:
        LoadError: the answer is an error.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        message = f"{path} answered {answer.status}: {body[:300]!r}"
        raise LoadError(message)
    return json.loads(body)


def ensure_same(who: str, ours: Any, theirs: Any) -> None:
    """See that a peer's rows are ours; moments may be written in either of ISO 8601's ways.

    Raises:
        DifferentAnswersError: they are not.
    """
    if _normal(ours) != _normal(theirs):
        message = f"{who} answers otherwise than ours: {theirs!r:.300} and ours {ours!r:.300}"
        raise DifferentAnswersError(message)


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, str) and _MOMENT.match(value):
        return dt.datetime.fromisoformat(value)
    return value
