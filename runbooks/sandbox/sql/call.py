"""One call of the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runbooks.sandbox.sql.errors import invalid_request
from runbooks.sandbox.store import Document


@dataclass(frozen=True)
class Call:
    """What a method's handler gets."""

    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Document
    user: str
    # The sandbox's own address with the version, for links: never Google's.
    base: str

    @property
    def project(self) -> str:
        """The project."""
        return self.path["project"]

    @property
    def instance(self) -> str:
        """The instance's name."""
        return self.path["instance"]

    def link(self, *parts: str) -> str:
        """The address of something in this project."""
        return "/".join((self.base, "projects", self.project, *parts))

    def flag(self, name: str) -> bool:
        """A boolean of the query."""
        return self.query.get(name, "").lower() == "true"

    def number(self, name: str, default: int) -> int:
        """A whole number of the query.

        Raises:
            ApiError: it is none.
        """
        text = self.query.get(name, str(default))
        if not text.isdigit():
            message = f"{name} must be a whole number."
            raise invalid_request(message)
        return int(text)

    def required(self, *names: str) -> Any:
        """A field of the body, by its path.

        Raises:
            ApiError: it is missing.
        """
        value: Any = self.body
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value in (None, "", {}):
            message = f"Missing parameter: {'.'.join(names)}."
            raise invalid_request(message)
        return value
