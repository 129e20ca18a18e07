"""Operations: they take time, can fail and can be cancelled, and an instance has one at a time.

One that ends well may leave a follow-up behind, which is the service's own. No caller is refused because of it: what
callers ask for meanwhile is PENDING until it has ended, so that neither harms the other.
"""

import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.engine.programs import ended_by
from runbooks.sandbox.faults import Faults
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
from runbooks.sandbox.sql.times import now
from runbooks.sandbox.store import Document, Store

KIND = "operation"
# Beside the operation that callers see, in the same document.
HOLDS = "sandbox.holds"
IS_FOLLOW_UP = "sandbox.follow-up"
WORKERS = 16
POLL_SECONDS = 0.02
STOPPED = "The sandbox was stopped while this operation was under way."
DONE = "DONE"

Work = Callable[["Task"], None]


@dataclass(frozen=True)
class FollowUp:
    """An operation that nobody called, so that no fault concerns it.

    Attributes:
        kind: its operationType.
        target: the instance that callers see it on.
        work: what it does.
        prepare: what is written together with it.
        fields: more of what callers see.
    """

    kind: str
    target: str
    work: Work
    prepare: Callable[[], None]
    fields: Document


class Task:
    """An operation under way, as its work sees it."""

    def __init__(self, operations: "Operations", project: str, name: str, method: str) -> None:
        self._operations = operations
        self._project = project
        self.name = name
        self.method = method
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self.doom: str | None = None
        # Begins at the moment when this one ends well.
        self.follow_up: FollowUp | None = None

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

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the programs that the work runs meanwhile end at once when somebody cancels it.

        Raises:
            OperationCancelledError: somebody did.
        """
        try:
            with ended_by(self.cancelled):
                yield
        except EngineError:
            if self.cancelled.is_set():
                raise OperationCancelledError from None
            raise

    def step(self, name: str) -> None:
        """Say how far the work is. It stands still here while a fault says so.

        Raises:
            OperationFailedError: the sandbox stops.
        """
        self._operations.hold(self, name)

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
        self._closing = threading.Event()
        self._held: dict[str, str] = {}

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
        with self._lock:
            unfinished = self._unfinished(call.project, holds)
            if not all(one.get(IS_FOLLOW_UP) for one in unfinished):
                raise operation_in_progress()
            before = [self._tasks[one["name"]] for one in unfinished]
            prepare()
            task, document = self._add(call, kind, target, {"user": call.user, HOLDS: holds, **(fields or {})})
        self._pool.submit(self._run, call, task, work, before)
        return visible(document)

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

    def hold(self, task: Task, step: str) -> None:
        """Return when no fault holds an operation at this step any more.

        Raises:
            OperationFailedError: the sandbox stops.
        """
        while self._faults.holds(task.method, step):
            self._held[task.name] = step
            if self._closing.wait(POLL_SECONDS):
                raise OperationFailedError(errors.INTERNAL, STOPPED)
        self._held.pop(task.name, None)

    def held_at(self, project: str, instance: str) -> str | None:
        """The step at which an instance's operation is held, if it is."""
        return next((self._held.get(one["name"]) for one in self._unfinished(project, [instance])), None)

    def are_free(self, project: str, instances: Sequence[str]) -> bool:
        """Whether none of these instances has an operation that is not done."""
        return not self._unfinished(project, instances)

    def aside(self, project: str, instances: Sequence[str], work: Callable[[], None]) -> None:
        """Do something short to instances while no operation works on them.

        Raises:
            ApiError: one does.
        """
        with self._lock:
            if not self.are_free(project, instances):
                raise operation_in_progress()
            work()

    def close(self, seconds: float) -> None:
        """Wait a while for those under way. The rest end as failed at the next start."""
        deadline = time.monotonic() + seconds
        while self._tasks and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._closing.set()
        for task in list(self._tasks.values()):
            task.cancelled.set()
        self._pool.shutdown(wait=not self._tasks, cancel_futures=True)

    def _add(self, call: Call, kind: str, target: str, fields: Document) -> tuple[Task, Document]:
        task = Task(self, call.project, str(uuid.uuid4()), call.method)
        document: Document = {
            "kind": "sql#operation",
            "name": task.name,
            "operationType": kind,
            "status": "PENDING",
            "insertTime": now(),
            "targetId": target,
            "targetProject": call.project,
            "targetLink": call.link("instances", target),
            "selfLink": call.link("operations", task.name),
            **fields,
        }
        self._store.put(KIND, _key(call.project, task.name), document)
        self._tasks[task.name] = task
        return task, document

    def _unfinished(self, project: str, instances: Sequence[str]) -> list[Document]:
        """The operations under way that work on one of these instances."""
        known = (self._store.get(KIND, _key(project, name)) for name in list(self._tasks))
        return [one for one in known if one and one["status"] != DONE and set(one[HOLDS]) & set(instances)]

    def _run(self, call: Call, task: Task, work: Work, before: Sequence[Task]) -> None:
        for one in before:
            one.ended.wait()
        task.wait(self._faults.operation_seconds(call.method))
        task.doom = self._faults.error(call.method)
        self._carry_out(call, task, work)

    def _carry_out(self, call: Call, task: Task, work: Work) -> None:
        error: tuple[str, str] | None = None
        try:
            task.update(status="RUNNING", startTime=now())
            work(task)
        except Exception as failure:  # noqa: BLE001  # whatever it is, callers must see the operation end
            if not is_expected(failure):
                traceback.print_exc()
            error = (code_of(failure), str(failure))
        follow_up = task.follow_up if error is None else None
        with self._lock:
            # At once: nobody else's operation, which might be what it fails by, comes between.
            left = self._leave(call, follow_up) if follow_up else None
            self._end(call.project, task.name, error)
        task.ended.set()
        if left and follow_up:
            self._carry_out(call, left, follow_up.work)

    def _leave(self, call: Call, follow_up: FollowUp) -> Task:
        follow_up.prepare()
        fields = {HOLDS: [follow_up.target], IS_FOLLOW_UP: True, **follow_up.fields}
        task, _ = self._add(call, follow_up.kind, follow_up.target, fields)
        return task

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
