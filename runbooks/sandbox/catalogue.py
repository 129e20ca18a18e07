"""Every method of every service, with how well the sandbox does it: for faults' names and the README's tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from runbooks.sandbox.errors import SandboxError
from runbooks.sandbox.faults import Fault, short
from runbooks.sandbox.services import memorystore, monitoring, run, scheduler, secret_manager
from runbooks.sandbox.services.rest import ABSENT, FULL
from runbooks.sandbox.sql.handlers import HANDLERS
from runbooks.sandbox.sql.methods import METHODS, PARTIAL
from runbooks.sandbox.sql.steps import STEPS
from runbooks.sandbox.storage import methods as storage

# What these leave can be damaged.
DAMAGING = frozenset(("backupRuns.insert", "Backups.CreateBackup"))


@dataclass(frozen=True)
class Service:
    """One service.

    Args:
        title: its name for people.
        id: what its faults' names begin with; nothing for Cloud SQL.
        methods: by Google's id without the service's: full, absent, or partial with what is missing.
    """

    title: str
    id: str
    methods: Mapping[str, str]

    def named(self) -> list[str]:
        """The methods as faults name them."""
        return [f"{self.id}.{method}" if self.id else method for method in self.methods]


def _coverage(name: str) -> str:
    if name not in HANDLERS:
        return ABSENT
    return f"partial: {PARTIAL[name]}" if name in PARTIAL else FULL


SERVICES = (
    Service("Cloud SQL", "", {one.name: _coverage(one.name) for one in METHODS}),
    Service("Secret Manager", "secretmanager", secret_manager.METHODS),
    Service("Cloud Scheduler", "cloudscheduler", scheduler.METHODS),
    Service("Cloud Run", "run", run.METHODS),
    Service("Memorystore", "redis", memorystore.METHODS),
    Service("Cloud Monitoring", "monitoring", monitoring.METHODS),
    Service("Cloud Storage", "storage", storage.METHODS),
)
NAMES = tuple(name for service in SERVICES for name in service.named())
WITH_OPERATION = frozenset(one.name for one in METHODS if one.begins_operation)


def read_fault(text: str) -> Fault:
    """A fault as it is written, which is about something that there is: a fault of a misspelt name would never happen.

    Raises:
        SandboxError: it is not written so, or nothing would come of it.
    """
    fault = Fault.parse(text)
    named = [] if fault.is_of_operations else [name for name in NAMES if fault.concerns(name)]
    if not named and not fault.is_of_operations:
        near = get_close_matches(fault.name, map(short, NAMES), n=1)
        hint = f"is it {near[0]}?" if near else "runbooks/sandbox/README.md lists them"
        message = f"--fault {text}: there is no method, resource or service {fault.name}; {hint}"
        raise SandboxError(message)
    if fault.kind == "error" and not WITH_OPERATION.intersection(named):
        message = (
            f"--fault {text}: error is for methods of Cloud SQL that begin an operation, and {fault.name} begins none; "
            f"write {fault.name}:503"
        )
        raise SandboxError(message)
    if fault.kind == "corrupt" and not DAMAGING.intersection(named):
        message = f"--fault {text}: only what {' or '.join(sorted(DAMAGING, key=str.lower))} leaves can be corrupt"
        raise SandboxError(message)
    if fault.kind == "hold" and not any(fault.value in STEPS.get(name, ()) for name in named):
        steps = "; ".join(f"{name}: {', '.join(at)}" for name, at in STEPS.items())
        message = f"--fault {text}: there is no such step. Those that there are: {steps}"
        raise SandboxError(message)
    return fault
