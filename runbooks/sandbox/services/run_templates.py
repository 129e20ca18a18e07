"""What a job of Cloud Run runs: its template, and that of one execution."""

import copy

from runbooks.sandbox.services.calls import Document, known_fields, seconds
from runbooks.sandbox.services.errors import absent, invalid
from runbooks.sandbox.services.run_resources import containers_of

DEFAULT_TASK: Document = {"maxRetries": 3, "timeout": "600s"}
LONGEST = 7 * 24 * 3600
MOST_TASKS = 10_000
MOST_RETRIES = 10
# The image's own entry point, which is what runs.
COMMAND = ["python", "-m", "runtime"]


def job_template(template: object) -> Document:
    """A job's template with its defaults.

    Raises:
        ServiceError: it is not one that can run.
    """
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


def execution_template(template: Document, overrides: Document) -> tuple[Document, int]:
    """What one execution of a job runs.

    Args:
        template: the job's.
        overrides: what this execution has otherwise.

    Returns:
        What each task runs, and how many tasks there are.

    Raises:
        ServiceError: an override is unknown, or nothing that can run comes of them.
    """
    task: Document = copy.deepcopy(template["template"])
    known_fields(overrides, ("containerOverrides", "taskCount", "timeout"))
    count = overrides.get("taskCount") or template["taskCount"]
    task["timeout"] = overrides.get("timeout") or task["timeout"]
    _check_task(task, count)
    container = task["containers"][0]
    for override in overrides.get("containerOverrides", []):
        _override(container, override)
    _check_container(container)
    command = container.get("command")
    if command and command != COMMAND:
        message = f"the command {' '.join(map(str, command))!r}: a job runs `python -m runtime` with its args"
        raise absent(message)
    return task, count


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
