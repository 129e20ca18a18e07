"""The part of Logging's query language that our filters use: comparisons, each on a line, all of which must hold.

https://cloud.google.com/logging/docs/view/logging-query-language: `=`, `>=` of a severity, `=~`, a list of values
joined by OR, NOT before a comparison, and `log_id(…)`. Anything else is an error.
"""

import re
from collections.abc import Mapping
from typing import Any

LINE = re.compile(r'(?P<not>NOT )?(?P<field>[A-Za-z_]+(\.[A-Za-z_]+)*)(?P<comparison>=~|>=|=)(?P<value>".*"|\(.*\))')
LOG_ID = re.compile(r'log_id\("(?P<name>[^"]+)"\)')
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


def matches(text: str, entry: Mapping[str, Any]) -> bool:
    """Whether an entry is one that a filter selects.

    Raises:
        ValueError: the filter has something else in it.
    """
    return all(_holds(line, entry) for line in text.splitlines())


def _holds(line: str, entry: Mapping[str, Any]) -> bool:
    if found := LOG_ID.fullmatch(line):
        return str(entry["logName"]).endswith(f"/logs/{found['name'].replace('/', '%2F')}")
    found = LINE.fullmatch(line)
    if found is None:
        message = f"it is no comparison: {line}"
        raise ValueError(message)
    value: Any = entry
    for part in found["field"].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    is_so = value is not None and _compares(str(value), found["comparison"], found["value"])
    return is_so != bool(found["not"])


def _compares(value: str, comparison: str, wanted: str) -> bool:
    if wanted.startswith("("):
        return value in re.findall(r'"([^"]*)"', wanted)
    text = wanted[1:-1]
    if '"' in text:
        message = f"a quote within quotes: {wanted}"
        raise ValueError(message)
    if comparison == "=~":
        return re.search(text, value) is not None
    if comparison == ">=":
        return SEVERITIES.index(value) >= SEVERITIES.index(text)
    return value == text
