"""Google's published description of the Admin API as a judge of requests and answers."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from runbooks.sandbox.discovery import Discovery
from runbooks.sandbox.sql.methods import find


@cache
def description() -> Discovery:
    found = Discovery.installed("sqladmin.v1")
    assert found is not None
    return found


def method_of(verb: str, path: str) -> str:
    """The id of the method that answers at a path, where there is one."""
    found = find(verb, path)
    assert found is not None, f"{verb} {path}: no method of the Admin API"
    return f"sql.{found[0].name}"


def check_request(method: str, query: Mapping[str, str], body: Any) -> None:
    is_wanted = "request" in description().methods[method]
    assert (body is not None) == is_wanted, f"{method} takes {'a' if is_wanted else 'no'} body"
    faults = description().request_faults(method, query, body)
    assert not faults, f"{method}: {faults}"


def check_answer(method: str, body: Any) -> None:
    faults = description().answer_faults(method, body)
    assert not faults, f"{method}: {faults}"
