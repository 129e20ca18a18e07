"""An execution of a Cloud Run job: its tasks, their retries, and what becomes of it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runbooks.local.processes import Identity
from runbooks.sandbox.services.calls import Document, seconds
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import ServiceError
from runbooks.sandbox.services.run_resources import RunResources, State, condition, new
from runbooks.sandbox.services.secret_manager import SecretManager
from runbooks.sandbox.services.task_process import EXITED, Ended, Running
from runbooks.sandbox.store import Store

# The identities of an execution's processes, which no answer shows.
PROCESSES = "run.processes"
MOST_AT_ONCE = 4
COUNTS = ("runningCount", "succeededCount", "failedCount", "cancelledCount", "retriedCount")


class ExecutionRun:
    """One execution under way.

    Args:
        store: where it and its tasks are kept.
        execution: as it was created.
        project: `projects/…`, whose secrets a bare name means.
        vault: where they are read.
        folder: for its logs.
        lock: what is held while anything is changed.
        started: told when its tasks begin.
    """

    def __init__(
        self,
        store: Store,
        execution: Document,
        *,
        project: str,
        vault: SecretManager,
        folder: Path,
        lock: threading.RLock,
        started: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._executions = RunResources(store, "execution")
        self._tasks = RunResources(store, "task")
        self._name: str = execution["name"]
        self._project = project
        self._vault = vault
        self._folder = folder
        self._lock = lock
        self._started = started
        self._template: Document = execution["template"]
        self._count: int = execution["taskCount"]
        self._at_once = min(execution.get("parallelism") or self._count, MOST_AT_ONCE)
        self.running = Running(self._note_processes)

    def run(self) -> Document:
        """Every task to its end.

        Returns:
            The execution as it ended.

        Raises:
            ServiceError: it did not end well, and this is what its operation says.
        """
        try:
            environment = self._environment()
        except ServiceError as error:
            self._finish("CONDITION_FAILED", reason="SECRETS_ACCESS_CHECK_FAILED", message=str(error))
            raise
        self._change({"startTime": now()})
        if self._started is not None:
            self._started()
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="run-task") as pool:
            problems = list(pool.map(lambda index: self._task(index, environment), range(self._count)))
        problem = next(filter(None, problems), "")
        if self.running.cancelled.is_set():
            self._finish("CONDITION_FAILED", executionReason="CANCELLED", message="The execution was cancelled.")
            code, message = "CANCELLED", "The execution was cancelled."
            raise ServiceError(code, message)
        if problem:
            why = {"executionReason": "NON_ZERO_EXIT_CODE"} if problem.endswith(EXITED) else {}
            self._finish("CONDITION_FAILED", message=problem, **why)
            code = "UNKNOWN"
            raise ServiceError(code, problem)
        return self._finish("CONDITION_SUCCEEDED")

    def _task(self, index: int, environment: Document) -> str:
        """One task with its retries.

        Returns:
            What is wrong, empty for nothing.
        """
        own = f"{self._name.rpartition('/')[2]}-task{index}"
        task = {
            **new(f"{self._name}/tasks/{own}"),
            "index": index,
            "job": self._name.split("/")[-3],
            "execution": self._name.rpartition("/")[2],
            "startTime": now(),
            "containers": self._template["containers"],
            "timeout": self._template["timeout"],
            "maxRetries": self._template["maxRetries"],
        }
        log = self._folder / f"task-{index}.log"
        self._change({}, runningCount=1)
        ended = Ended(None, "cancelled")
        for attempt in range(self._template["maxRetries"] + 1):
            if attempt:
                task["retried"] = attempt
                self._change({}, retriedCount=1)
            arguments = self._template["containers"][0].get("args", [])
            numbers = {"CLOUD_RUN_TASK_INDEX": str(index), "CLOUD_RUN_TASK_ATTEMPT": str(attempt)}
            ended = self.running.attempt(
                arguments, {**environment, **numbers}, log, seconds(self._template["timeout"], "timeout")
            )
            if not ended.problem or self.running.cancelled.is_set():
                break
        self._end_task(task, own, ended)
        return f"Task {own} failed with message: {ended.problem}" if ended.problem else ""

    def _end_task(self, task: Document, own: str, ended: Ended) -> None:
        task["completionTime"] = now()
        if ended.code is not None:
            status = {"code": 2, "message": ended.problem} if ended.problem else {}
            task["lastAttemptResult"] = {"exitCode": max(ended.code, 0) or -ended.code + 128 * (ended.code < 0)}
            task["lastAttemptResult"] |= {"status": status} if status else {}
        counted = "succeededCount"
        state = condition("Completed", "CONDITION_SUCCEEDED")
        if ended.problem:
            counted = "cancelledCount" if self.running.cancelled.is_set() else "failedCount"
            state = condition("Completed", "CONDITION_FAILED", message=f"{own}: {ended.problem}")
        self._tasks.put({**task, "conditions": [state]})
        self._change({}, runningCount=-1, **{counted: 1})

    def _environment(self) -> Document:
        """What every task sees, with the secrets' values."""
        environment = {}
        for variable in self._template["containers"][0].get("env", []):
            reference = variable.get("valueSource", {}).get("secretKeyRef")
            if reference:
                secret = reference["secret"]
                secret = secret if "/" in secret else f"{self._project}/secrets/{secret}"
                environment[variable["name"]] = self._vault.read(secret, reference.get("version") or "latest")
            else:
                environment[variable["name"]] = variable.get("value", "")
        own, parts = self._name.rpartition("/")[2], self._name.split("/")
        return environment | {
            "CLOUD_RUN_JOB": parts[-3],
            "CLOUD_RUN_EXECUTION": own,
            "CLOUD_RUN_TASK_COUNT": str(self._count),
        }

    def _finish(self, state: State, **more: str) -> Document:
        self._store.delete(PROCESSES, self._name)
        return self._change(
            {"completionTime": now(), "conditions": [condition("Completed", state, **more)], "reconciling": False}
        )

    def _change(self, fields: Document, **counts: int) -> Document:
        with self._lock:
            execution = self._executions.find(self._name) or {"name": self._name}
            execution |= fields
            for name, by in counts.items():
                execution[name] = execution.get(name, 0) + by
            execution["updateTime"] = now()
            return self._executions.put(execution)

    def _note_processes(self, identities: list[Identity]) -> None:
        self._store.put(
            PROCESSES, self._name, {"name": self._name, "processes": [one.model_dump() for one in identities]}
        )
