"""Which trace a request belongs to, as Cloud Logging reads it."""

import re
from collections.abc import Mapping

TRACE = "logging.googleapis.com/trace"
SPAN = "logging.googleapis.com/spanId"
SAMPLED = "logging.googleapis.com/trace_sampled"

# W3C Trace Context; a later version may say more after the flags.
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# Google's older one: the span is a decimal number.
_CLOUD_TRACE = re.compile(rb"([0-9a-fA-F]{32})(?:/([0-9]{1,20}))?(?:;o=([0-9]))?")
_LONGEST = 512
_MOST_SPAN = 2**64


def fields(headers: Mapping[bytes, bytes], *, project: str | None) -> dict[str, str | bool]:
    """The log's fields for a request; none where the headers name no trace, or are malformed.

    Args:
        headers: of the request, names in lower case.
        project: whose Cloud Trace has the trace.
    """
    given = headers.get(b"traceparent")
    found = _w3c(given) if given else None
    if found is None:
        given = headers.get(b"x-cloud-trace-context")
        found = _cloud(given) if given else None
    if found is None:
        return {}
    trace, span, sampled = found
    about: dict[str, str | bool] = {
        TRACE: f"projects/{project}/traces/{trace}" if project else trace,
        SAMPLED: sampled,
    }
    if span:
        about[SPAN] = span
    return about


def _w3c(header: bytes) -> tuple[str, str, bool] | None:
    match = _TRACEPARENT.fullmatch(header) if len(header) <= _LONGEST else None
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if not trace.strip(b"0") or not span.strip(b"0") or (version == b"00" and more is not None):
        return None
    return trace.decode(), span.decode(), bool(int(flags, 16) & 1)


def _cloud(header: bytes) -> tuple[str, str, bool] | None:
    match = _CLOUD_TRACE.fullmatch(header) if len(header) <= _LONGEST else None
    if match is None:
        return None
    trace, span, sampled = match.groups()
    number = int(span or 0)
    if not trace.strip(b"0") or number >= _MOST_SPAN:
        return None
    return trace.decode().lower(), f"{number:016x}" if number else "", sampled == b"1"
