"""Long-running operations of a service: begun, ended, read, waited for."""

import threading
import time
import uuid

from runbooks.sandbox.services.calls import Call, Document, seconds
from runbooks.sandbox.services.errors import ServiceError
from runbooks.sandbox.services.resources import Resources
from runbooks.sandbox.store import Store

LONGEST_WAIT = 60.0


class Operations(Resources):
    """The operations of one service. What one does goes on when it is deleted.

    Args:
        store: where they are kept.
        kind: of their documents.
    """

    def __init__(self, store: Store, kind: str) -> None:
        super().__init__(store, kind, missing="Operation {name} was not found.", newest_first=True)
        self._ended = threading.Condition()

    def begin(self, resource: str, metadata: Document) -> Document:
        """One that is under way, in a resource's location.

        Args:
            resource: its name, `projects/…/locations/…/…`.
            metadata: what it tells of itself, with its `@type`.
        """
        location = "/".join(resource.split("/")[:4])
        name = f"{location}/operations/{uuid.uuid4()}"
        return self.put({"name": name, "metadata": metadata, "done": False})

    def end(self, name: str, outcome: Document | ServiceError, metadata: Document | None = None) -> Document:
        """Write how it ended: with its answer, which has its `@type`, or with an error."""
        with self._ended:
            operation = self.find(name) or {"name": name}
            operation["done"] = True
            if metadata is not None:
                operation["metadata"] = metadata
            if isinstance(outcome, ServiceError):
                operation["error"] = outcome.status
            else:
                operation["response"] = outcome
            self.put(operation)
            self._ended.notify_all()
        return operation

    def finished(self, resource: str, response: Document) -> Document:
        """One that is done when its call is answered."""
        operation = self.begin(resource, response)
        return self.end(operation["name"], response)

    def abandon(self) -> None:
        """End those that an earlier run of the sandbox left under way."""
        for operation in self.all():
            if not operation["done"]:
                self.end(operation["name"], ServiceError("UNAVAILABLE", "The sandbox was ended meanwhile."))

    def wait(self, call: Call) -> Document:
        """The operation when it is done, or as it is when the time is over."""
        timeout = call.fields(("timeout",)).get("timeout")
        longest = LONGEST_WAIT if timeout is None else min(LONGEST_WAIT, seconds(timeout, "timeout"))
        deadline = time.monotonic() + longest
        with self._ended:
            while not (operation := self.get(call))["done"] and (left := deadline - time.monotonic()) > 0:
                self._ended.wait(left)
        return operation
