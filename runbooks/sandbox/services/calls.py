"""A call of a REST service: which method it is, on what, and what came with it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.sandbox.services.errors import ServiceError, invalid

Document = dict[str, Any]

STANDARD = {
    ("GET", True): "list",
    ("POST", True): "create",
    ("GET", False): "get",
    ("PATCH", False): "patch",
    ("DELETE", False): "delete",
}


@dataclass(frozen=True)
class Call:
    """One call.

    Args:
        method: the id as in the discovery document, without the service: `projects.secrets.addVersion`.
        name: the resource that it is about; for a collection's method, the resource that has the collection.
    """

    method: str
    name: str
    query: Mapping[str, str]
    body: Document

    def given(self, name: str) -> str:
        """A query parameter that must be there.

        Raises:
            ServiceError: it is not.
        """
        if not self.query.get(name):
            message = f"Missing required parameter: {name}"
            raise invalid(message)
        return self.query[name]

    def fields(self, writable: Collection[str], output: Collection[str] = ()) -> Document:
        """What the body sets. As with Google, what only the service sets is ignored, and what nobody knows refused.

        Raises:
            ServiceError: a field is unknown.
        """
        return known_fields(self.body, writable, output)

    def mask(self, allowed: Collection[str], *, default: Collection[str] | None = None) -> set[str]:
        """Which fields an update is about; those of the body when it does not say, if that is allowed.

        Raises:
            ServiceError: it names none, or one that cannot be changed.
        """
        given = {_camel(path) for path in self.query.get("updateMask", "").split(",") if path}
        if "*" in given:
            given = set(allowed)
        if not given and default is not None:
            given = set(default)
        if not given:
            message = "update_mask is required"
            raise invalid(message)
        for path in sorted(given):
            if path.split(".")[0] not in allowed:
                message = f"Invalid field mask: {path} cannot be updated."
                raise invalid(message)
        return {path.split(".")[0] for path in given}


def known_fields(body: Document, writable: Collection[str], output: Collection[str] = ()) -> Document:
    """The writable fields of a document.

    Raises:
        ServiceError: a field is unknown.
    """
    for name in body:
        if name not in writable and name not in output:
            message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            raise invalid(message)
    return {name: value for name, value in body.items() if name in writable}


def method_and_name(verb: str, path: str) -> tuple[str, str]:
    """The method's id and the resource's name, from a verb and a path without its version.

    Google's paths are collections and ids in turn, and what is not one of the five standard methods ends in `:verb`.
    """
    path, _, custom = path.partition(":")
    parts = path.split("/")
    is_collection = len(parts) % 2 == 1
    action = custom or STANDARD.get((verb, is_collection), verb.lower())
    collections = ".".join(parts[::2])
    return f"{collections}.{action}", "/".join(parts[:-1] if is_collection else parts)


def ident(text: str, form: str, what: str) -> str:
    """A new resource's id.

    Raises:
        ServiceError: it does not have the form.
    """
    if not re.fullmatch(form, text):
        message = f"Invalid resource field value in the request: {what} {text!r} must match {form}"
        raise invalid(message)
    return text


def seconds(text: object, what: str) -> float:
    """A duration as Google's JSON has it, `1.5s`, in seconds.

    Raises:
        ServiceError: it is none.
    """
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?s", text):
        message = f"Invalid value at '{what}' (type.googleapis.com/google.protobuf.Duration), {text!r}"
        raise invalid(message)
    return float(text[:-1])


def exists(message: str) -> ServiceError:
    """The name is taken."""
    return ServiceError("ALREADY_EXISTS", message)


def _camel(path: str) -> str:
    head, *rest = path.split("_")
    return head + "".join(part.capitalize() for part in rest)
