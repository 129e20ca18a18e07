"""Cloud Run's jobs: an execution runs `python -m runtime` here, with the job's environment."""

import copy
import secrets
import string
import threading
from pathlib import Path

from runbooks.local.processes import Identity
from runbooks.sandbox.services.calls import Call, Document, exists, ident, known_fields, page_of, seconds
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import ServiceError, absent, invalid, precondition
from runbooks.sandbox.services.executions import EXECUTION, PROCESSES, TASK, ExecutionRun
from runbooks.sandbox.services.operations import Operations
from runbooks.sandbox.services.rest import Handler
from runbooks.sandbox.services.run_resources import (
    NAME,
    answer,
    changed,
    check_etag,
    condition,
    containers_of,
    find,
    location_of,
    new,
    put,
    refuse_options,
)
from runbooks.sandbox.services.secret_manager import SecretManager
from runbooks.sandbox.services.task_process import end_leftovers
from runbooks.sandbox.store import Store

JOB = "run.job"
WRITABLE = ("labels", "annotations", "client", "clientVersion", "launchStage", "binaryAuthorization", "template")
OUTPUT = (
    *("name", "uid", "generation", "createTime", "updateTime", "deleteTime", "expireTime", "creator", "lastModifier"),
    *("observedGeneration", "terminalCondition", "conditions", "executionCount", "latestCreatedExecution"),
    *("reconciling", "satisfiesPzs", "etag"),
)
DEFAULT_TASK: Document = {"maxRetries": 3, "timeout": "600s"}
LONGEST = 7 * 24 * 3600
MOST_TASKS = 10_000
MOST_RETRIES = 10
# The image's own entry point, which is what runs.
COMMAND = ["python", "-m", "runtime"]
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
        self._operations = operations
        self._vault = vault
        self._folder = folder
        self.lock = threading.RLock()
        self._under_way: dict[str, tuple[ExecutionRun, threading.Thread]] = {}

    def handlers(self) -> dict[str, Handler]:
        """By method id."""
        return {
            "projects.locations.jobs.create": self.create,
            "projects.locations.jobs.get": self.get,
            "projects.locations.jobs.list": self.list_all,
            "projects.locations.jobs.patch": self.patch,
            "projects.locations.jobs.delete": self.delete,
            "projects.locations.jobs.run": self.run,
            "projects.locations.jobs.executions.get": self.get_execution,
            "projects.locations.jobs.executions.list": self.list_executions,
            "projects.locations.jobs.executions.cancel": self.cancel,
            "projects.locations.jobs.executions.delete": self.delete_execution,
            "projects.locations.jobs.executions.tasks.get": self.get_task,
            "projects.locations.jobs.executions.tasks.list": self.list_tasks,
        }

    def start(self) -> None:
        """End what an earlier run of the sandbox left under way."""
        for left in self._store.all(PROCESSES):
            end_leftovers([Identity(**identity) for identity in left["processes"]])
            self._store.delete(PROCESSES, left["name"])
        for execution in self._store.all(EXECUTION):
            if "completionTime" not in execution:
                failed = condition("Completed", "CONDITION_FAILED", message="The sandbox was ended meanwhile.")
                execution |= {"completionTime": now(), "conditions": [failed], "reconciling": False, "runningCount": 0}
                put(self._store, EXECUTION, execution)
        self._operations.abandon()

    def stop(self) -> None:
        """Cancel what is under way."""
        for run, _thread in list(self._under_way.values()):
            run.running.cancel()
        for _run, thread in list(self._under_way.values()):
            thread.join(STOP_SECONDS)

    def create(self, call: Call) -> Document:
        """A job, not yet run."""
        refuse_options(call)
        own = ident(call.given("jobId"), NAME, "job_id")
        name = f"{call.name}/jobs/{own}"
        body = call.fields(WRITABLE, OUTPUT)
        if self._store.get(JOB, name):
            message = f"Resource '{own}' already exists."
            raise exists(message)
        job = {"launchStage": "GA", **body, "template": _checked(body.get("template")), **new(name)}
        return self._done(self._ready(job))

    def get(self, call: Call) -> Document:
        """The job, with its last execution."""
        return find(self._store, JOB, call.name)

    def list_all(self, call: Call) -> Document:
        """A location's jobs."""
        return page_of(self._store.all(JOB, f"{call.name}/jobs/"), "jobs", call.query)

    def patch(self, call: Call) -> Document:
        """Another template, for executions to come."""
        refuse_options(call, "allowMissing")
        job = find(self._store, JOB, call.name)
        check_etag(job, call.body.get("etag"))
        body = call.fields(WRITABLE, OUTPUT)
        template = _checked(body.get("template"))
        kept = {field: value for field, value in job.items() if field in OUTPUT}
        job = {"launchStage": "GA", **body, "template": template, **kept}
        changed(job)
        return self._done(self._ready(job))

    def delete(self, call: Call) -> Document:
        """The job with its executions; their logs stay."""
        refuse_options(call)
        job = find(self._store, JOB, call.name)
        check_etag(job, call.query.get("etag"))
        executions = self._store.all(EXECUTION, f"{call.name}/executions/")
        if any("completionTime" not in execution for execution in executions):
            message = f"Job '{call.name.rpartition('/')[2]}' has an execution under way; cancel it first."
            raise precondition(message)
        for execution in executions:
            self._forget(execution)
        self._store.delete(JOB, call.name)
        return self._done(job)

    def run(self, call: Call) -> Document:
        """Begin an execution; its operation ends when it does."""
        refuse_options(call)
        body = call.fields(("overrides", "etag", "validateOnly"))
        job = find(self._store, JOB, call.name)
        check_etag(job, body.get("etag"))
        execution = self._new_execution(job, body.get("overrides") or {})
        self._store.put(EXECUTION, execution["name"], execution)
        reference = {"name": execution["name"].rpartition("/")[2], "createTime": execution["createTime"]}
        job["executionCount"] = job.get("executionCount", 0) + 1
        job["latestCreatedExecution"] = {**reference, "completionStatus": "EXECUTION_RUNNING"}
        put(self._store, JOB, job)
        operation = self._operations.begin(location_of(call.name), answer("Execution", execution))
        run = ExecutionRun(
            self._store,
            execution,
            project="/".join(call.name.split("/")[:2]),
            vault=self._vault,
            folder=self._folder_of(execution["name"]),
            lock=self.lock,
        )
        thread = threading.Thread(
            target=self._follow, args=(run, execution["name"], operation["name"]), daemon=True, name="run-execution"
        )
        self._under_way[execution["name"]] = (run, thread)
        thread.start()
        return operation

    def get_execution(self, call: Call) -> Document:
        """How far it is."""
        return _shown(find(self._store, EXECUTION, call.name))

    def list_executions(self, call: Call) -> Document:
        """A job's executions, newest first."""
        found = self._store.all(EXECUTION, f"{call.name}/executions/")[::-1]
        return page_of([_shown(execution) for execution in found], "executions", call.query)

    def cancel(self, call: Call) -> Document:
        """End its processes; the operation ends when they have."""
        refuse_options(call)
        body = call.fields(("etag", "validateOnly"))
        execution = find(self._store, EXECUTION, call.name)
        check_etag(execution, body.get("etag"))
        if "completionTime" in execution or call.name not in self._under_way:
            message = f"Execution '{call.name.rpartition('/')[2]}' has completed."
            raise precondition(message)
        run, thread = self._under_way[call.name]
        operation = self._operations.begin(location_of(call.name), answer("Execution", _shown(execution)))

        def end() -> None:
            run.running.cancel()
            thread.join()
            ended = _shown(find(self._store, EXECUTION, call.name))
            self._operations.end(operation["name"], answer("Execution", ended), answer("Execution", ended))

        threading.Thread(target=end, daemon=True, name="run-cancel").start()
        return operation

    def delete_execution(self, call: Call) -> Document:
        """Forget one that has ended; its log stays."""
        refuse_options(call)
        execution = find(self._store, EXECUTION, call.name)
        check_etag(execution, call.query.get("etag"))
        if "completionTime" not in execution:
            message = f"Execution '{call.name.rpartition('/')[2]}' is under way; cancel it first."
            raise precondition(message)
        self._forget(execution)
        return self._operations.finished(location_of(call.name), answer("Execution", _shown(execution)))

    def get_task(self, call: Call) -> Document:
        """A task that has ended."""
        return find(self._store, TASK, call.name)

    def list_tasks(self, call: Call) -> Document:
        """An execution's tasks that have ended."""
        return page_of(self._store.all(TASK, f"{call.name}/tasks/"), "tasks", call.query)

    def _follow(self, run: ExecutionRun, name: str, operation: str) -> None:
        try:
            outcome: Document | ServiceError = answer("Execution", _shown(run.run()))
            status = "EXECUTION_SUCCEEDED"
        except ServiceError as error:
            outcome = error
            status = "EXECUTION_CANCELLED" if error.code == "CANCELLED" else "EXECUTION_FAILED"
        with self.lock:
            execution = find(self._store, EXECUTION, name)
            job = self._store.get(JOB, name.rpartition("/executions/")[0])
            own = name.rpartition("/")[2]
            if job is not None and job["latestCreatedExecution"]["name"] == own:
                ended = {"completionStatus": status, "completionTime": execution["completionTime"]}
                job["latestCreatedExecution"] |= ended
                put(self._store, JOB, job)
            self._operations.end(operation, outcome, answer("Execution", _shown(execution)))
            del self._under_way[name]

    def _new_execution(self, job: Document, overrides: Document) -> Document:
        outer = job["template"]
        template: Document = copy.deepcopy(outer["template"])
        known_fields(overrides, ("containerOverrides", "taskCount", "timeout"))
        count = overrides.get("taskCount") or outer["taskCount"]
        template["timeout"] = overrides.get("timeout") or template["timeout"]
        _check_task(template, count)
        for override in overrides.get("containerOverrides", []):
            _override(template["containers"][0], override)
        _check_container(template["containers"][0])
        command = template["containers"][0].get("command")
        if command and command != COMMAND:
            message = f"the command {' '.join(map(str, command))!r}: a job runs `python -m runtime` with its args"
            raise absent(message)
        own = job["name"].rpartition("/")[2]
        letters = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(5))
        name = f"{job['name']}/executions/{own}-{letters}"
        return {
            **new(name),
            "etag": f'"{secrets.token_urlsafe(12)}"',
            "job": own,
            "launchStage": "GA",
            "taskCount": count,
            "parallelism": outer.get("parallelism") or 0,
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
        for task in self._store.all(TASK, f"{execution['name']}/tasks/"):
            self._store.delete(TASK, task["name"])
        self._store.delete(EXECUTION, execution["name"])

    def _done(self, job: Document) -> Document:
        return self._operations.finished(location_of(job["name"]), answer("Job", job))

    def _ready(self, job: Document) -> Document:
        job |= {
            "observedGeneration": job["generation"],
            "terminalCondition": condition("Ready", "CONDITION_SUCCEEDED"),
        }
        return put(self._store, JOB, job)


def _checked(template: object) -> Document:
    """An execution template with its defaults."""
    inner = template.get("template") if isinstance(template, dict) else None
    if not isinstance(template, dict) or not isinstance(inner, dict):
        message = "job.template.template: cannot be empty"
        raise invalid(message)
    containers = containers_of(inner, "job.template.template")
    if len(containers) != 1:
        message = "job.template.template.containers: must have exactly one container"
        raise invalid(message)
    if inner.get("volumes"):
        message = "a job's volumes"
        raise absent(message)
    _check_container(containers[0])
    checked = {**template, "taskCount": template.get("taskCount") or 1, "template": {**DEFAULT_TASK, **inner}}
    _check_task(checked["template"], checked["taskCount"])
    return checked


def _check_container(container: Document) -> None:
    where = "job.template.template.containers[0]"
    for number, variable in enumerate(container.get("env", [])):
        name = variable.get("name")
        if not name or str(name).startswith("CLOUD_RUN_") or "=" in str(name):
            message = f"{where}.env[{number}].name: {name!r} is reserved or empty"
            raise invalid(message)
        source = variable.get("valueSource")
        if source is not None and not source.get("secretKeyRef", {}).get("secret"):
            message = f"{where}.env[{number}].value_source: secret_key_ref must name a secret"
            raise invalid(message)
    texts = [*container.get("args", []), *(variable.get("value", "") for variable in container.get("env", []))]
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        message = f"{where}: args and the values of env must be texts"
        raise invalid(message)


def _check_task(template: Document, count: object) -> None:
    if not 0 < seconds(template["timeout"], "timeout") <= LONGEST:
        message = f"timeout: must be between 1s and {LONGEST}s"
        raise invalid(message)
    if type(template["maxRetries"]) is not int or not 0 <= template["maxRetries"] <= MOST_RETRIES:
        message = f"max_retries: must be between 0 and {MOST_RETRIES}"
        raise invalid(message)
    if type(count) is not int or not 1 <= count <= MOST_TASKS:
        message = f"task_count: must be between 1 and {MOST_TASKS}"
        raise invalid(message)


def _override(container: Document, override: object) -> None:
    if not isinstance(override, dict):
        message = "overrides.container_overrides: must be objects"
        raise invalid(message)
    known_fields(override, ("name", "args", "env", "clearArgs"))
    if override.get("name") and override["name"] != container.get("name"):
        message = f"overrides.container_overrides.name: there is no container {override['name']!r}"
        raise invalid(message)
    if override.get("args") or override.get("clearArgs"):
        container["args"] = override.get("args", [])
    changed_names = {variable["name"] for variable in override.get("env", [])}
    kept = [variable for variable in container.get("env", []) if variable["name"] not in changed_names]
    container["env"] = [*kept, *override.get("env", [])]


def _shown(execution: Document) -> Document:
    """Zero counts are left out, as Google does."""
    return {field: value for field, value in execution.items() if value != 0 or isinstance(value, bool)}
