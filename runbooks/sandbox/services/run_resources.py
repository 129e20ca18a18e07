"""What services, jobs, executions and revisions of Cloud Run have in common."""

import secrets
import uuid
from typing import Literal

from runbooks.sandbox.services.calls import Call, Document
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import aborted, absent, invalid
from runbooks.sandbox.services.resources import Resources
from runbooks.sandbox.store import Store

TYPE = "type.googleapis.com/google.cloud.run.v2."
NAME = "[a-z]([a-z0-9-]{0,47}[a-z0-9])?"

State = Literal["CONDITION_SUCCEEDED", "CONDITION_FAILED", "CONDITION_RECONCILING"]


class RunResources(Resources):
    """One kind, each with an etag that is another after each change."""

    def __init__(self, store: Store, noun: str, *, newest_first: bool = False) -> None:
        super().__init__(
            store,
            f"run.{noun}",
            missing=f"Resource '{{id}}' of kind '{noun.upper()}' does not exist.",
            taken="Resource '{id}' already exists.",
            newest_first=newest_first,
        )

    def put(self, resource: Document) -> Document:
        """Write one."""
        resource["etag"] = f'"{secrets.token_urlsafe(12)}"'
        return super().put(resource)

    def current(self, name: str, etag: object) -> Document:
        """The resource of that name, seen to be as the caller knows it, if the caller says.

        Raises:
            ServiceError: there is none, or it changed since.
        """
        resource = self.read(name)
        if etag and etag != resource["etag"]:
            message = f"Conflict for resource '{name.rpartition('/')[2]}': the etag is not the current one."
            raise aborted(message)
        return resource

    def answer(self, resource: Document) -> Document:
        """One as an operation has it."""
        return {"@type": TYPE + self.noun.capitalize(), **resource}


def condition(kind: str, state: State, **more: str) -> Document:
    """One condition of a resource, as of now."""
    return {"type": kind, "state": state, "lastTransitionTime": now(), **more}


def new(name: str) -> Document:
    """What every resource has from its creation on."""
    moment = now()
    return {"name": name, "uid": str(uuid.uuid4()), "generation": "1", "createTime": moment, "updateTime": moment}


def changed(document: Document) -> None:
    """Count a change that a user made."""
    document |= {"generation": str(int(document["generation"]) + 1), "updateTime": now()}


def refuse_options(call: Call, *names: str) -> None:
    """See that a call does not ask for what is not done.

    Raises:
        ServiceError: it does.
    """
    for name in ("validateOnly", *names):
        if call.query.get(name) == "true" or call.body.get(name) is True:
            message = f"{call.method} with {name}"
            raise absent(message)


def containers_of(template: object, what: str) -> list[Document]:
    """The containers of a template, each seen to have an image.

    Raises:
        ServiceError: there are none.
    """
    containers = template.get("containers") if isinstance(template, dict) else None
    if not isinstance(containers, list) or not containers or not all(isinstance(one, dict) for one in containers):
        message = f"{what}.containers: must have at least one container"
        raise invalid(message)
    for number, container in enumerate(containers):
        if not container.get("image"):
            message = f"{what}.containers[{number}].image: cannot be empty"
            raise invalid(message)
    return containers
