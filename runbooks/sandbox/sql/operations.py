"""Operations: they take time, can fail and can be cancelled, and an instance has one at a time."""

import threading
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runbooks.sandbox.sql import errors
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import (
    OperationCancelledError,
    OperationFailedError,
    invalid_state,
    not_found,
    operation_in_progress,
)
from runbooks.sandbox.sql.failures import code_of, is_expected
from runbooks.sandbox.sql.faults import Faults
from runbooks.sandbox.sql.times import now
from runbooks.sandbox.store import Document, Store

KIND = "operation"
# Beside the operation that callers see, in the same document.
HOLDS = "sandbox.holds"
WORKERS = 16
POLL_SECONDS = 0.02
STOPPED = "The sandbox was stopped while this operation was under way."
DONE = "DONE"

Work = Callable[["Task"], None]


class Task:
    """An operation under way, as its work sees it."""

    def __init__(self, operations: "Operations", project: str, name: str) -> None:
        self._operations = operations
        self._project = project
        self.name = name
        self.cancelled = threading.Event()
        self.doom: str | None = None

    def checkpoint(self) -> None:
        """Say that the work may end here. Work begins with this, and undoes what was prepared when it raises.

        Raises:
            OperationCancelledError: somebody cancelled it.
            OperationFailedError: a fault says so.
        """
        if self.doom is not None:
            message = "A fault of the sandbox's says that this operation fails."
            raise OperationFailedError(self.doom, message)
        if self.cancelled.is_set():
            raise OperationCancelledError

    def wait(self, seconds: float) -> None:
        """Take time."""
        self.cancelled.wait(seconds)

    def update(self, **fields: Any) -> None:
        """Change what callers see of it."""
        self._operations.change(self._project, self.name, fields)


class Operations:
    """All operations. Each runs in a thread of its own."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="operation")
        self._tasks: dict[str, Task] = {}

    def fail_unfinished(self) -> None:
        """Those that an earlier process left end as failed. Nothing is carried on: what a step did may be half done."""
        for document in self._store.all(KIND):
            if document["status"] != DONE:
                self._end(document["targetProject"], document["name"], (errors.INTERNAL, STOPPED))

    def begin(
        self,
        call: Call,
        kind: str,
        target: str,
        work: Work,
        *,
        also: Sequence[str] = (),
        prepare: Callable[[], None] = lambda: None,
        fields: Document | None = None,
    ) -> Document:
        """Start an operation, unless one of the instances that it works on has another.

        Args:
            call: the call that asks for it.
            kind: its operationType.
            target: the instance that callers see it on.
            work: what it does.
            also: other instances that it holds meanwhile.
            prepare: what is written before anybody else may begin, such as the new instance's document.
            fields: more of what callers see.

        Raises:
            ApiError: another operation is in progress. No operation exists then.
        """
        holds = [target, *also]
        name = str(uuid.uuid4())
        task = Task(self, call.project, name)
        document: Document = {
            "kind": "sql#operation",
            "name": name,
            "operationType": kind,
            "status": "PENDING",
            "user": call.user,
            "insertTime": now(),
            "targetId": target,
            "targetProject": call.project,
            "targetLink": call.link("instances", target),
            "selfLink": call.link("operations", name),
            HOLDS: holds,
            **(fields or {}),
        }
        with self._lock:
            if self.busy(call.project, holds):
                raise operation_in_progress()
            prepare()
            self._store.put(KIND, _key(call.project, name), document)
            self._tasks[name] = task
        self._pool.submit(self._run, call, task, work)
        return visible(document)

    def busy(self, project: str, instances: Sequence[str]) -> bool:
        """Whether one of these instances has an operation that is not done."""
        unfinished = (self._store.get(KIND, _key(project, name)) for name in list(self._tasks))
        return any(one and one["status"] != DONE and set(one[HOLDS]) & set(instances) for one in unfinished)

    def get(self, project: str, name: str) -> Document:
        """One operation.

        Raises:
            ApiError: there is none of that name.
        """
        document = self._store.get(KIND, _key(project, name))
        if document is None:
            raise not_found(errors.OPERATION)
        return visible(document)

    def all(self, project: str, instance: str | None) -> list[Document]:
        """Those of a project, or of one of its instances; newest first."""
        found = self._store.all(KIND, f"{project}/")
        return [visible(one) for one in reversed(found) if instance in (None, one["targetId"])]

    def cancel(self, project: str, name: str) -> None:
        """Ask an operation to end at its next step.

        Raises:
            ApiError: there is none of that name, or it is done.
        """
        if self.get(project, name)["status"] == DONE:
            message = "The operation is done."
            raise invalid_state(message)
        task = self._tasks.get(name)
        if task:
            task.cancelled.set()

    def change(self, project: str, name: str, fields: Document) -> None:
        """Change fields of an operation."""
        with self._lock:
            document = self._store.get(KIND, _key(project, name))
            if document is not None:
                self._store.put(KIND, _key(project, name), document | fields)

    def close(self, seconds: float) -> None:
        """Wait a while for those under way. The rest end as failed at the next start."""
        deadline = time.monotonic() + seconds
        while self._tasks and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for task in list(self._tasks.values()):
            task.cancelled.set()
        self._pool.shutdown(wait=not self._tasks, cancel_futures=True)

    def _run(self, call: Call, task: Task, work: Work) -> None:
        error: tuple[str, str] | None = None
        try:
            task.wait(self._faults.seconds(call.method))
            task.update(status="RUNNING", startTime=now())
            task.doom = self._faults.error(call.method)
            work(task)
        except Exception as failure:  # noqa: BLE001  # whatever it is, callers must see the operation end
            if not is_expected(failure):
                traceback.print_exc()
            error = (code_of(failure), str(failure))
        finally:
            self._end(call.project, task.name, error)

    def _end(self, project: str, name: str, error: tuple[str, str] | None) -> None:
        fields: Document = {"status": DONE, "endTime": now()}
        if error is not None:
            code, message = error
            one = {"kind": "sql#operationError", "code": code, "message": message}
            fields["error"] = {"kind": "sql#operationErrors", "errors": [one]}
        self.change(project, name, fields)
        self._tasks.pop(name, None)


def visible(document: Document) -> Document:
    """What callers see of a document of ours."""
    return {key: value for key, value in document.items() if not key.startswith("sandbox.")}


def _key(project: str, name: str) -> str:
    return f"{project}/{name}"
