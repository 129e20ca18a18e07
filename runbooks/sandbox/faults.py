"""Faults by name and count: `operations.get:503x3`, `instances.clone:error`, `secretmanager.secrets.create:slow=5`."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from runbooks.sandbox.errors import SandboxError

# A method, a resource, a service or everything; what happens; how often (until it is taken away, without a count).
FORM = re.compile(
    r"(?P<name>\*|[A-Za-z]+(\.[A-Za-z]+)*):(?P<kind>[1-9]\d\d|error|slow|corrupt|hold)(=(?P<value>[\w.-]+?))?(x(?P<count>\d+))?"
)
HELP = (
    "write NAME:503x3, NAME:slow=SECONDS, NAME:error[=CODE] or backupRuns.insert:corrupt, with xCOUNT if not for ever, "
    "or NAME:hold=STEP"
)
CLIENT_ERROR = 400
# Google's ids have them before what a method is about; a fault's name may do without.
PARENTS = ("projects", "locations")
OPERATIONS = "operations"


@dataclass(frozen=True)
class Fault:
    """One fault: of which calls, what happens, and how often still (None: until it is taken away)."""

    name: str
    kind: str
    value: str | None = None
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Read one as it is written on the command line.

        Raises:
            SandboxError: it is not written so.
        """
        match = FORM.fullmatch(text)
        counts_what_lasts = match is not None and match["kind"] == "hold" and match["count"]
        if match is None or counts_what_lasts or not _is_sensible(match["kind"], match["value"]):
            message = f"--fault {text}: {HELP}"
            raise SandboxError(message)
        return cls(match["name"], match["kind"], match["value"], int(match["count"]) if match["count"] else None)

    def __str__(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"{self.name}:{self.kind}{value}" + (f"x{self.count}" if self.count is not None else "")

    @property
    def is_of_operations(self) -> bool:
        """Whether it is `operations:slow`, which is about the operations themselves and not about their methods."""
        return (self.name, self.kind) == (OPERATIONS, "slow")

    def concerns(self, method: str) -> bool:
        """Whether it is about a method: by its name, whole or short, its resource's, its service's, or a star.

        Args:
            method: as Google's description has it, without `sql.` before Cloud SQL's: `operations.get`,
                `secretmanager.projects.secrets.get`.
        """
        if self.is_of_operations:
            return method == OPERATIONS
        return self.name == "*" or any(f"{name}.".startswith(f"{self.name}.") for name in (method, short(method)))


class Faults:
    """Those in force. Any thread may ask."""

    def __init__(self, faults: list[Fault]) -> None:
        self._lock = threading.Lock()
        self._faults = faults

    def all(self) -> list[str]:
        """Those in force, as they are written."""
        with self._lock:
            return [str(fault) for fault in self._faults]

    def add(self, fault: Fault) -> None:
        """Put one in force."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Take all away."""
        with self._lock:
            self._faults = []

    def status(self, method: str) -> int | None:
        """The HTTP status that this call is refused with, if it is."""
        fault = self._take(method, str.isdigit)
        return int(fault.kind) if fault else None

    def error(self, method: str) -> str | None:
        """The code of the error that this operation is to end in, if it is."""
        fault = self._take(method, "error".__eq__)
        return (fault.value or "INTERNAL_ERROR") if fault else None

    def seconds(self, method: str) -> float:
        """How long this call waits before it is answered."""
        fault = self._take(method, "slow".__eq__)
        return float(fault.value or 0) if fault else 0.0

    def operation_seconds(self, method: str) -> float:
        """How long this call's operation waits before it begins its work. `operations:slow` concerns each."""
        return self.seconds(method) or self.seconds(OPERATIONS)

    def corrupts(self, method: str) -> bool:
        """Whether what this operation leaves is damaged."""
        return self._take(method, "corrupt".__eq__) is not None

    def holds(self, method: str, step: str) -> bool:
        """Whether this operation stands still at a step, until the fault is taken away."""
        with self._lock:
            return any((one.kind, one.value) == ("hold", step) and one.concerns(method) for one in self._faults)

    def _take(self, method: str, is_kind: Callable[[str], bool]) -> Fault | None:
        with self._lock:
            for position, fault in enumerate(self._faults):
                if is_kind(fault.kind) and fault.concerns(method):
                    if fault.count is not None:
                        left = replace(fault, count=fault.count - 1)
                        self._faults[position : position + 1] = [left] if left.count else []
                    return fault
        return None


def short(method: str) -> str:
    """A method's name without its parents: `secretmanager.secrets.get`, wherever the secret is."""
    parts = method.split(".")
    return ".".join((*(part for part in parts[:-2] if part not in PARENTS), *parts[-2:]))


def _is_sensible(kind: str, value: str | None) -> bool:
    if kind.isdigit():
        return value is None and int(kind) in set(HTTPStatus) and int(kind) >= CLIENT_ERROR
    if kind == "slow":
        return value is not None and re.fullmatch(r"\d+(\.\d+)?", value) is not None
    if kind == "hold":
        return value is not None
    return kind == "error" or value is None
