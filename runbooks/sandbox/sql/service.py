"""What the methods' handlers share."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runbooks.sandbox.faults import Faults
from runbooks.sandbox.sql.fleet import Fleet
from runbooks.sandbox.sql.operations import Operations
from runbooks.sandbox.sql.records import Instances
from runbooks.sandbox.store import Document, Store


@dataclass(frozen=True)
class Sql:
    """One sandbox's Cloud SQL."""

    folder: Path
    store: Store
    faults: Faults
    operations: Operations
    instances: Instances
    fleet: Fleet
    # What works by itself and ends first, such as the watcher.
    at_stop: ExitStack = field(default_factory=ExitStack)

    def places(self) -> list[Document]:
        """Where each instance is: Google's API has no field for a port."""
        return [
            {
                "project": one.project,
                "instance": one.name,
                "host": one.address,
                "port": one.port,
                "held": self.operations.held_at(one.project, one.name),
            }
            for one in self.instances.all()
        ]
