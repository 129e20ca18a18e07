"""The resources of one kind, in a store: named, read or not found, listed in pages, written, deleted."""

import re

from runbooks.sandbox.services.calls import Call, Document, exists, ident
from runbooks.sandbox.services.errors import ServiceError, invalid, not_found
from runbooks.sandbox.store import Store

PAGE = 100


class Resources:
    """One kind. What takes a call is a method's handler.

    Args:
        store: where they are kept.
        kind: of their documents: the service and what one of them is called, such as `run.job`.
        missing: what the service says of one that is not there, with its `{name}` or the last part of that, `{id}`.
        taken: what it says of one that is there already, likewise.
        size: the most that a page has.
        newest_first: how they are listed.
    """

    def __init__(
        self, store: Store, kind: str, *, missing: str, taken: str = "", size: int = PAGE, newest_first: bool = False
    ) -> None:
        self._store = store
        self._kind = kind
        self.noun = kind.rpartition(".")[2]
        self.collection = f"{self.noun}s"
        self._missing = missing
        self._taken = taken
        self._size = size
        self._newest_first = newest_first

    def get(self, call: Call) -> Document:
        """The resource."""
        return self.read(call.name)

    def list_all(self, call: Call) -> Document:
        """Those of the call's parent."""
        return self.page(call, self.below(call.name))

    def delete(self, call: Call) -> Document:
        """It is gone."""
        self.read(call.name)
        self.forget(call.name)
        return {}

    def new_name(self, call: Call, form: str) -> str:
        """The name that a call gives to a new one.

        Raises:
            ServiceError: its id does not have the form.
        """
        return f"{call.name}/{self.collection}/{ident(call.given(f'{self.noun}Id'), form, f'{self.noun}_id')}"

    def refuse_taken(self, name: str) -> None:
        """See that a name is free.

        Raises:
            ServiceError: it is not.
        """
        if self.find(name):
            raise exists(self._taken.format(name=name, id=name.rpartition("/")[2]))

    def find(self, name: str) -> Document | None:
        """The resource of that name, if there is one."""
        return self._store.get(self._kind, name)

    def read(self, name: str) -> Document:
        """The resource of that name.

        Raises:
            ServiceError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise self.missing(name)
        return found

    def missing(self, name: str) -> ServiceError:
        """There is none of that name."""
        return not_found(self._missing.format(name=name, id=name.rpartition("/")[2]))

    def all(self, prefix: str = "") -> list[Document]:
        """Those whose name begins so, in the order of lists."""
        found = self._store.all(self._kind, prefix)
        return found[::-1] if self._newest_first else found

    def below(self, parent: str) -> list[Document]:
        """A parent's, in the order of lists."""
        return self.all(f"{parent}/{self.collection}/")

    def page(self, call: Call, found: list[Document]) -> Document:
        """A list's answer: as many as asked for, and a token if there are more.

        Raises:
            ServiceError: the size or the token is not one of ours.
        """
        wanted, token = call.query.get("pageSize", "0") or "0", call.query.get("pageToken", "") or "0"
        if not re.fullmatch(r"\d{1,9}", wanted):
            message = "page_size must not be negative."
            raise invalid(message)
        if not re.fullmatch(r"\d{1,9}", token):
            message = "The page token is invalid."
            raise invalid(message)
        start = int(token)
        end = start + min(int(wanted) or self._size, self._size)
        answer: Document = {self.collection: found[start:end]} if found[start:end] else {}
        if end < len(found):
            answer["nextPageToken"] = str(end)
        return answer

    def put(self, resource: Document) -> Document:
        """Write one."""
        self._store.put(self._kind, resource["name"], resource)
        return resource

    def forget(self, name: str) -> None:
        """Delete the one of that name, if there is one."""
        self._store.delete(self._kind, name)
