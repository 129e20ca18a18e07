"""Values as JSON and as Python code: on one line where they fit, else a line a part."""

import json
from collections.abc import Callable
from typing import Any

WIDTH = 100


def json_text(value: Any) -> str:
    """A value as JSON."""
    return _text(value, _json_scalar, step=2, last="")


def python_text(value: Any) -> str:
    """A value as Python code."""
    return _text(value, _python_scalar, step=4, last=",")


def _text(value: Any, scalar: Callable[[Any], str], *, step: int, last: str, indent: int = 0) -> str:
    if isinstance(value, dict):
        inner = [
            f"{_json_scalar(key)}: {_text(item, scalar, step=step, last=last, indent=indent + step)}"
            for key, item in value.items()
        ]
        start, end = "{}"
    elif isinstance(value, list):
        inner = [_text(item, scalar, step=step, last=last, indent=indent + step) for item in value]
        start, end = "[]"
    else:
        return scalar(value)
    line = f"{start}{', '.join(inner)}{end}"
    if "\n" not in line and indent + len(line) <= WIDTH:
        return line
    pad = "\n" + " " * (indent + step)
    return f"{start}{pad}{f',{pad}'.join(inner)}{last}\n{' ' * indent}{end}"


def _json_scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _python_scalar(value: Any) -> str:
    return _json_scalar(value) if isinstance(value, str) else repr(value)
