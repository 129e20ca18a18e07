"""The part of Monitoring's filter language that names series: equalities joined by AND."""

import re
from dataclasses import dataclass, field

from runbooks.sandbox.services.errors import absent, invalid

TERM = re.compile(
    r"(?P<name>metric\.type|resource\.type|(?:metric|resource)\.labels?\.\w+)\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)"
)
AND = re.compile(r"\s+(?:AND\s+)?")


@dataclass
class SeriesFilter:
    """What a series must have."""

    metric_type: str = ""
    resource_type: str = ""
    metric_labels: dict[str, str] = field(default_factory=dict)
    resource_labels: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> SeriesFilter:
    """Read a filter.

    Raises:
        ServiceError: it names no metric type, or says something that the sandbox does not understand.
    """
    found = SeriesFilter()
    position = 0
    text = text.strip()
    while position < len(text):
        match = TERM.match(text, position)
        if match is None:
            message = f"the filter {text!r} from {text[position : position + 20]!r} on"
            raise absent(message)
        _take(found, match["name"], match["value"])
        position = match.end()
        if joint := AND.match(text, position):
            position = joint.end()
    if not found.metric_type:
        message = 'Field filter had an invalid value: must specify a single metric type: metric.type = "..."'
        raise invalid(message)
    return found


def _take(found: SeriesFilter, name: str, value: str) -> None:
    whose, _, rest = name.partition(".")
    if name == "metric.type":
        found.metric_type = value
    elif name == "resource.type":
        found.resource_type = value
    else:
        labels = found.metric_labels if whose == "metric" else found.resource_labels
        labels[rest.partition(".")[2]] = value
