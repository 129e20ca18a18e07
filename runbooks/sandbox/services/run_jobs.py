"""Cloud Run's jobs: an execution runs `python -m runtime` here, with the job's environment."""

import secrets
import string
import threading
from collections.abc import Callable
from pathlib import Path

from runbooks.local.processes import Identity
from runbooks.sandbox.services.calls import Call, Document
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import ServiceError, precondition
from runbooks.sandbox.services.executions import PROCESSES, ExecutionRun
from runbooks.sandbox.services.operations import Operations
from runbooks.sandbox.services.rest import Handler
from runbooks.sandbox.services.run_resources import NAME, RunResources, changed, condition, new, refuse_options
from runbooks.sandbox.services.run_templates import execution_template, job_template
from runbooks.sandbox.services.run_tokens import TOKENS, Token, token_of
from runbooks.sandbox.services.secret_manager import SecretManager
from runbooks.sandbox.services.task_process import end_leftovers
from runbooks.sandbox.store import Store

WRITABLE = (
    *("labels", "annotations", "client", "clientVersion", "launchStage", "binaryAuthorization", "template"),
    *TOKENS,
)
OUTPUT = (
    *("name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier"),
    *("observedGeneration", "terminalCondition", "conditions", "executionCount", "latestCreatedExecution"),
    *("reconciling", "satisfiesPzs", "etag"),
)
STOP_SECONDS = 15.0


class RunJobs:
    """Jobs and their executions, in a store; those under way, in threads.

    Args:
        store: where they are kept.
        operations: the service's.
        vault: where an environment's secrets are read.
        folder: for logs.
    """

    def __init__(self, store: Store, operations: Operations, vault: SecretManager, folder: Path) -> None:
        self._store = store
        self._jobs = RunResources(store, "job")
        self._executions = RunResources(store, "execution", newest_first=True)
        self._tasks = RunResources(store, "task")
        self._operations = operations
        self._vault = vault
        self._folder = folder
        self.lock = threading.RLock()
        self._under_way: dict[str, tuple[ExecutionRun, threading.Thread]] = {}

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        return {
            "projects.locations.jobs.create": self.create,
            "projects.locations.jobs.get": self._jobs.get,
            "projects.locations.jobs.list": self._jobs.list_all,
            "projects.locations.jobs.patch": self.patch,
            "projects.locations.jobs.delete": self.delete,
            "projects.locations.jobs.run": self.run,
            "projects.locations.jobs.executions.get": self.get_execution,
            "projects.locations.jobs.executions.list": self.list_executions,
            "projects.locations.jobs.executions.cancel": self.cancel,
            "projects.locations.jobs.executions.delete": self.delete_execution,
            "projects.locations.jobs.executions.tasks.get": self._tasks.get,
            "projects.locations.jobs.executions.tasks.list": self._tasks.list_all,
        }

    def start(self) -> None:
        """End what an earlier run of the sandbox left under way."""
        for left in self._store.all(PROCESSES):
            end_leftovers([Identity(**identity) for identity in left["processes"]])
            self._store.delete(PROCESSES, left["name"])
        for execution in self._executions.all():
            if "completionTime" not in execution:
                failed = condition("Completed", "CONDITION_FAILED", message="The sandbox was ended meanwhile.")
                execution |= {"completionTime": now(), "conditions": [failed], "reconciling": False, "runningCount": 0}
                self._executions.put(execution)
        for job in self._jobs.all():
            if job.get("reconciling"):
                self._ready(job, "The sandbox was ended meanwhile.")
        self._operations.abandon()

    def stop(self) -> None:
        """Cancel what is under way."""
        for run, _thread in list(self._under_way.values()):
            run.running.cancel()
        for _run, thread in list(self._under_way.values()):
            thread.join(STOP_SECONDS)

    def create(self, call: Call) -> Document:
        """A job, not yet run without a token."""
        refuse_options(call)
        name = self._jobs.new_name(call, NAME)
        body = call.fields(WRITABLE, OUTPUT)
        self._jobs.refuse_taken(name)
        job = {"launchStage": "GA", **body, "template": job_template(body.get("template")), **new(name)}
        return self._applied(job)

    def patch(self, call: Call) -> Document:
        """Another template, for executions to come; with a token one comes at once."""
        refuse_options(call, "allowMissing")
        job = self._jobs.current(call.name, call.body.get("etag"))
        body = call.fields(WRITABLE, OUTPUT)
        template = job_template(body.get("template"))
        kept = {field: value for field, value in job.items() if field in OUTPUT}
        job = {"launchStage": "GA", **body, "template": template, **kept}
        changed(job)
        return self._applied(job)

    def delete(self, call: Call) -> Document:
        """The job with its executions; their logs stay."""
        refuse_options(call)
        job = self._jobs.current(call.name, call.query.get("etag"))
        executions = self._executions.below(call.name)
        if any("completionTime" not in execution for execution in executions):
            message = f"Job '{call.name.rpartition('/')[2]}' has an execution under way; cancel it first."
            raise precondition(message)
        for execution in executions:
            self._forget(execution)
        self._jobs.forget(call.name)
        return self._done(job)

    def run(self, call: Call) -> Document:
        """Begin an execution; its operation ends when it does."""
        refuse_options(call)
        body = call.fields(("overrides", "etag", "validateOnly"))
        job = self._jobs.current(call.name, body.get("etag"))
        letters = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
        name = f"{job['name']}/executions/{job['name'].rpartition('/')[2]}-{letters}"
        execution = self._new_execution(job, body.get("overrides") or {}, name)
        # As Google does: a token is what made the latest execution.
        for token in TOKENS:
            job.pop(token, None)
        operation = self._operations.begin(call.name, self._executions.answer(execution))

        def ended(outcome: Document | ServiceError) -> None:
            shown = self._executions.answer(_shown(self._executions.read(name)))
            self._operations.end(operation["name"], outcome if isinstance(outcome, ServiceError) else shown, shown)

        self._begin(job, execution, ended)
        return operation

    def get_execution(self, call: Call) -> Document:
        """How far it is."""
        return _shown(self._executions.read(call.name))

    def list_executions(self, call: Call) -> Document:
        """A job's executions, newest first."""
        found = [_shown(execution) for execution in self._executions.below(call.name)]
        return self._executions.page(call, found)

    def cancel(self, call: Call) -> Document:
        """End its processes; the operation ends when they have."""
        refuse_options(call)
        body = call.fields(("etag", "validateOnly"))
        execution = self._executions.current(call.name, body.get("etag"))
        if "completionTime" in execution or call.name not in self._under_way:
            message = f"Execution '{call.name.rpartition('/')[2]}' has completed."
            raise precondition(message)
        run, thread = self._under_way[call.name]
        operation = self._operations.begin(call.name, self._executions.answer(_shown(execution)))

        def end() -> None:
            run.running.cancel()
            thread.join()
            ended = _shown(self._executions.read(call.name))
            self._operations.end(operation["name"], self._executions.answer(ended), self._executions.answer(ended))

        threading.Thread(target=end, daemon=True, name="run-cancel").start()
        return operation

    def delete_execution(self, call: Call) -> Document:
        """Forget one that has ended; its log stays."""
        refuse_options(call)
        execution = self._executions.current(call.name, call.query.get("etag"))
        if "completionTime" not in execution:
            message = f"Execution '{call.name.rpartition('/')[2]}' is under way; cancel it first."
            raise precondition(message)
        self._forget(execution)
        return self._operations.finished(call.name, self._executions.answer(_shown(execution)))

    def _applied(self, job: Document) -> Document:
        """A job that was made or changed: ready at once, or when what its token asks for has been done."""
        token = token_of(job, self._executions)
        if token is None:
            return self._done(self._ready(job))
        execution = self._new_execution(job, {}, token.execution)
        job |= {
            "observedGeneration": job["generation"],
            "reconciling": True,
            "terminalCondition": condition("Ready", "CONDITION_RECONCILING"),
        }
        operation = self._operations.begin(job["name"], self._jobs.answer(job))

        def ready(outcome: Document | ServiceError) -> None:
            present = self._jobs.read(job["name"])
            if not present.get("reconciling"):
                return
            problem = outcome if isinstance(outcome, ServiceError) else None
            answer = self._jobs.answer(self._ready(present, str(problem) if problem else ""))
            self._operations.end(operation["name"], problem or answer, answer)

        self._begin(job, execution, ready, token)
        return operation

    def _begin(
        self,
        job: Document,
        execution: Document,
        ended: Callable[[Document | ServiceError], None],
        token: Token | None = None,
    ) -> None:
        """Let an execution run in a thread.

        Args:
            job: whose it is.
            execution: as it is created.
            ended: told how it ended, with the lock held.
            token: what asked for it; one that does not wait is told when it has started.
        """
        self._executions.put(execution)
        reference = {"name": execution["name"].rpartition("/")[2], "createTime": execution["createTime"]}
        job["executionCount"] = job.get("executionCount", 0) + 1
        job["latestCreatedExecution"] = {**reference, "completionStatus": "EXECUTION_RUNNING"}
        self._jobs.put(job)

        def started() -> None:
            with self.lock:
                ended(execution)

        run = ExecutionRun(
            self._store,
            execution,
            project="/".join(job["name"].split("/")[:2]),
            vault=self._vault,
            folder=self._folder_of(execution["name"]),
            lock=self.lock,
            started=started if token is not None and not token.waits else None,
        )
        thread = threading.Thread(
            target=self._follow, args=(run, execution["name"], ended), daemon=True, name="run-execution"
        )
        self._under_way[execution["name"]] = (run, thread)
        thread.start()

    def _follow(self, run: ExecutionRun, name: str, ended: Callable[[Document | ServiceError], None]) -> None:
        try:
            outcome: Document | ServiceError = run.run()
            status = "EXECUTION_SUCCEEDED"
        except ServiceError as error:
            outcome = error
            status = "EXECUTION_CANCELLED" if error.code == "CANCELLED" else "EXECUTION_FAILED"
        with self.lock:
            execution = self._executions.read(name)
            job = self._jobs.find(name.rpartition("/executions/")[0])
            own = name.rpartition("/")[2]
            if job is not None and job["latestCreatedExecution"]["name"] == own:
                completed = {"completionStatus": status, "completionTime": execution["completionTime"]}
                job["latestCreatedExecution"] |= completed
                self._jobs.put(job)
            ended(outcome)
            del self._under_way[name]

    def _new_execution(self, job: Document, overrides: Document, name: str) -> Document:
        template, count = execution_template(job["template"], overrides)
        return {
            **new(name),
            "job": job["name"].rpartition("/")[2],
            "launchStage": "GA",
            "taskCount": count,
            "parallelism": job["template"].get("parallelism") or 0,
            "template": template,
            "reconciling": True,
            "conditions": [condition("Completed", "CONDITION_RECONCILING")],
            "logUri": self._folder_of(name).as_uri(),
        }

    def _folder_of(self, execution: str) -> Path:
        parts = execution.split("/")
        # Under the project and the location too: two jobs may have one name.
        return self._folder.joinpath(*parts[1::2])

    def _forget(self, execution: Document) -> None:
        for task in self._tasks.below(execution["name"]):
            self._tasks.forget(task["name"])
        self._executions.forget(execution["name"])

    def _done(self, job: Document) -> Document:
        return self._operations.finished(job["name"], self._jobs.answer(job))

    def _ready(self, job: Document, problem: str = "") -> Document:
        state = condition("Ready", "CONDITION_SUCCEEDED")
        if problem:
            state = condition("Ready", "CONDITION_FAILED", message=problem)
        job |= {"observedGeneration": job["generation"], "terminalCondition": state}
        job.pop("reconciling", None)
        return self._jobs.put(job)


def _shown(execution: Document) -> Document:
    """Zero counts are left out, as Google does."""
    return {field: value for field, value in execution.items() if value != 0 or isinstance(value, bool)}
