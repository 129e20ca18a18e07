"""Structured logs on standard output, as Cloud Logging reads them."""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar

import structlog

# What every line of a request says of it.
REQUEST: ContextVar[Mapping[str, object] | None] = ContextVar("request", default=None)

# Cloud Logging's names for Python's levels; the others are the same.
_SEVERITY = {"warn": "WARNING", "exception": "ERROR"}

# One for all lines: `json.dumps` makes one for each. What is no JSON is shown as Python shows it.
_ENCODER = json.JSONEncoder(default=repr)


def _as_json(_logger: object, _method: str, event: structlog.types.EventDict) -> str:
    return _ENCODER.encode(event)


def _severity(_logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    event["severity"] = _SEVERITY.get(method, method.upper())
    event["message"] = event.pop("event")
    return event


def _about_request(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    about = REQUEST.get()
    if about is not None:
        event.update(about)
    return event


def configure(level: str) -> None:
    """One JSON object a line, for our own events and the standard library's alike."""
    shared: list[structlog.types.Processor] = [
        _about_request,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _severity, _as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_log_level],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _from_standard_library,
                _as_json,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Ours says the same, once a request, with its id.
    logging.getLogger("uvicorn.access").disabled = True


def _from_standard_library(
    _logger: object, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    event["severity"] = str(event.pop("level", "info")).upper()
    event["message"] = event.pop("event")
    return event
