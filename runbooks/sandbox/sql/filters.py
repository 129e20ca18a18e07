"""Filter expressions of lists: `state:RUNNABLE settings.userLabels.env:prod`, with AND, OR and comparisons.

As Google's: terms side by side must all hold, and OR binds closer than they do.
"""

import contextlib
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from runbooks.sandbox.sql import times
from runbooks.sandbox.sql.errors import ApiError, invalid_request
from runbooks.sandbox.store import Document

TOKEN = re.compile(r'\s*(?:(AND|OR)(?=\s|$)|([A-Za-z_][\w.-]*?)\s*(!=|<=|>=|:|=|<|>)\s*("[^"]*"|[^\s"()]+))')
ANY = "*"
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ":": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Term = tuple[str, str, str]


def chosen(items: list[Document], expression: str | None, fields: frozenset[str]) -> list[Document]:
    """Those for which an expression holds.

    Args:
        items: what callers see of each.
        expression: theirs; all are chosen without one.
        fields: the first names of what may be asked; what is below them may be asked too.

    Raises:
        ApiError: the expression cannot be read, or asks for another field.
    """
    if not expression or not expression.strip():
        return items
    every = _parsed(expression, fields)
    return [item for item in items if all(any(_holds(item, term) for term in some) for some in every)]


def _parsed(expression: str, fields: frozenset[str]) -> list[list[Term]]:
    every: list[list[Term]] = []
    joins: str | None = "AND"
    for word, term in _tokens(expression):
        if word:
            if not every or joins:
                raise _unreadable(expression)
            joins = word
            continue
        if term[0].partition(".")[0] not in fields:
            message = f"the filter cannot ask for {term[0]}. Fields are {', '.join(sorted(fields))}."
            raise invalid_request(message)
        if joins == "OR":
            every[-1].append(term)
        else:
            every.append([term])
        joins = None
    if joins:
        raise _unreadable(expression)
    return every


def _tokens(expression: str) -> Iterator[tuple[str | None, Term]]:
    position, text = 0, expression.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise _unreadable(expression)
        word, field, sign, value = match.groups()
        yield word, (field, sign, (value or "").strip('"'))
        position = match.end()


def _unreadable(expression: str) -> ApiError:
    message = (
        f"the filter {expression!r} cannot be read. The sandbox takes terms such as state:RUNNABLE, "
        'settings.userLabels.env="a b" and region!=us-east1, side by side or with AND and OR, without brackets.'
    )
    return invalid_request(message)


def _holds(item: Document, term: Term) -> bool:
    field, sign, wanted = term
    found = [_text(value) for value in _values(item, field.split("."))]
    if sign == "!=":
        return wanted not in found
    if wanted == ANY and sign in (":", "="):
        return bool(found)
    return any(COMPARISONS[sign](*_comparable(value, wanted)) for value in found)


def _comparable(value: str, wanted: str) -> tuple[Any, Any]:
    for read in (float, lambda text: times.read(text, "filter")):
        with contextlib.suppress(ValueError, ApiError):
            return read(value), read(wanted)
    return value, wanted


def _values(value: Any, path: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [found for each in value for found in _values(each, path)]
    if not path:
        return [value]
    return _values(value[path[0]], path[1:]) if isinstance(value, dict) and path[0] in value else []


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
