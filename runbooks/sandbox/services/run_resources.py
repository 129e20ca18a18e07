"""What services, jobs, executions and revisions of Cloud Run have in common."""

import secrets
import uuid
from typing import Literal

from runbooks.sandbox.services.calls import Call, Document
from runbooks.sandbox.services.clock import now
from runbooks.sandbox.services.errors import aborted, absent, invalid, not_found
from runbooks.sandbox.store import Store

TYPE = "type.googleapis.com/google.cloud.run.v2."
NAME = "[a-z]([a-z0-9-]{0,47}[a-z0-9])?"

State = Literal["CONDITION_SUCCEEDED", "CONDITION_FAILED", "CONDITION_RECONCILING"]


def condition(kind: str, state: State, **more: str) -> Document:
    """One condition of a resource, as of now."""
    return {"type": kind, "state": state, "lastTransitionTime": now(), **more}


def new(name: str) -> Document:
    """What every resource has from its creation on."""
    moment = now()
    return {"name": name, "uid": str(uuid.uuid4()), "generation": "1", "createTime": moment, "updateTime": moment}


def put(store: Store, kind: str, document: Document) -> Document:
    """Write a resource with a new etag."""
    document["etag"] = f'"{secrets.token_urlsafe(12)}"'
    store.put(kind, document["name"], document)
    return document


def changed(document: Document) -> None:
    """Count a change that a user made."""
    document |= {"generation": str(int(document["generation"]) + 1), "updateTime": now()}


def find(store: Store, kind: str, name: str) -> Document:
    """The resource of that name.

    Raises:
        ServiceError: there is none.
    """
    document = store.get(kind, name)
    if document is None:
        message = f"Resource '{name.rpartition('/')[2]}' of kind '{kind.rpartition('.')[2].upper()}' does not exist."
        raise not_found(message)
    return document


def answer(kind: str, document: Document) -> Document:
    """A resource as an operation has it."""
    return {"@type": TYPE + kind, **document}


def location_of(name: str) -> str:
    """`projects/…/locations/…` of a name below it."""
    return "/".join(name.split("/")[:4])


def check_etag(document: Document, given: object) -> None:
    """See that the caller knows the resource as it is.

    Raises:
        ServiceError: it changed since.
    """
    if given and given != document["etag"]:
        message = f"Conflict for resource '{document['name'].rpartition('/')[2]}': the etag is not the current one."
        raise aborted(message)


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
