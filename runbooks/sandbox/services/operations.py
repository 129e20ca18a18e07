"""Long-running operations of a service: begun, ended, read, waited for."""

import threading
import time
import uuid

from runbooks.sandbox.services.calls import Call, Document, page_of, seconds
from runbooks.sandbox.services.errors import ServiceError, not_found
from runbooks.sandbox.store import Store

LONGEST_WAIT = 60.0


class Operations:
    """The operations of one service, in a store.

    Args:
        store: where they are kept.
        kind: of their documents.
    """

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._ended = threading.Condition()

    def begin(self, location: str, metadata: Document) -> Document:
        """One that is under way.

        Args:
            location: `projects/…/locations/…`.
            metadata: what it tells of itself, with its `@type`.
        """
        name = f"{location}/operations/{uuid.uuid4()}"
        operation: Document = {"name": name, "metadata": metadata, "done": False}
        self._store.put(self._kind, name, operation)
        return operation

    def end(self, name: str, outcome: Document | ServiceError, metadata: Document | None = None) -> Document:
        """Write how it ended: with its answer, which has its `@type`, or with an error."""
        with self._ended:
            operation = self._store.get(self._kind, name) or {"name": name}
            operation["done"] = True
            if metadata is not None:
                operation["metadata"] = metadata
            if isinstance(outcome, ServiceError):
                operation["error"] = outcome.status
            else:
                operation["response"] = outcome
            self._store.put(self._kind, name, operation)
            self._ended.notify_all()
        return operation

    def finished(self, location: str, response: Document, metadata: Document | None = None) -> Document:
        """One that is done when its call is answered."""
        operation = self.begin(location, response if metadata is None else metadata)
        return self.end(operation["name"], response)

    def abandon(self) -> None:
        """End those that an earlier run of the sandbox left under way."""
        for operation in self._store.all(self._kind):
            if not operation["done"]:
                self.end(operation["name"], ServiceError("UNAVAILABLE", "The sandbox was ended meanwhile."))

    def get(self, call: Call) -> Document:
        """How far it is."""
        operation = self._store.get(self._kind, call.name)
        if operation is None:
            message = f"Operation {call.name} was not found."
            raise not_found(message)
        return operation

    def list_all(self, call: Call) -> Document:
        """Those of a location, newest first."""
        found = self._store.all(self._kind, f"{call.name}/operations/")[::-1]
        return page_of(found, "operations", call.query)

    def delete(self, call: Call) -> Document:
        """Forget one; what it does goes on."""
        self.get(call)
        self._store.delete(self._kind, call.name)
        return {}

    def wait(self, call: Call) -> Document:
        """The operation when it is done, or as it is when the time is over."""
        timeout = call.fields(("timeout",)).get("timeout")
        longest = LONGEST_WAIT if timeout is None else min(LONGEST_WAIT, seconds(timeout, "timeout"))
        deadline = time.monotonic() + longest
        with self._ended:
            while not (operation := self.get(call))["done"] and (left := deadline - time.monotonic()) > 0:
                self._ended.wait(left)
        return operation
