"""Findings: what was tested, what came out, and what to do about it."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Result(StrEnum):
    """How a test came out."""

    OK = "ok"
    FAULT = "fault"
    # A fault that the procedure itself put right.
    MENDED = "mended"
    # The test could not be made, so nothing is known. It never counts as passed.
    UNKNOWN = "unknown"


class Finding(BaseModel):
    """One test.

    Attributes:
        test: what was asked, such as `The instance is RUNNABLE`.
        result: how it came out.
        found: what was seen.
        action: what to do, or what was done: a command where there is one.
    """

    model_config = ConfigDict(frozen=True)

    test: str
    result: Result
    found: str
    action: str = ""
