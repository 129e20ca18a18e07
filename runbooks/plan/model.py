"""A plan: every resource that the program registers, as JSON has it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel

STACK = "pulumi:pulumi:Stack"


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")


class Resource(_Model):
    """One registration.

    Attributes:
        custom: whether a provider makes it; the others are components.
        read: whether it exists already and is only looked up.
        inputs: what the program gives; secrets are "[secret]" and what only the cloud knows is "[unknown]".
        outputs: what a component or the stack registers.
        property_dependencies: the URNs that each input waits for.
        aliases: the URNs that it had before.
    """

    urn: str
    type: str
    name: str
    custom: bool
    read: bool = False
    parent: str | None = None
    provider: str | None = None
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    depends_on: list[str] = []
    property_dependencies: dict[str, list[str]] = {}
    protect: bool = False
    ignore_changes: list[str] = []
    replace_on_changes: list[str] = []
    additional_secret_outputs: list[str] = []
    aliases: list[str] = []
    custom_timeouts: dict[str, str] = {}
    delete_before_replace: bool | None = None
    deleted_with: str | None = None
    retain_on_delete: bool = False
    import_id: str | None = None


class Invoke(_Model):
    """A question that only the cloud can answer; nobody was asked."""

    token: str
    args: dict[str, Any]


class Plan(_Model):
    """What a stack would be.

    Attributes:
        resources: sorted by URN.
        changes: the settings that were other than the stack's, by path.
        unresolved: sorted by token.
        warnings: what the program logged for people.
    """

    stack: str
    changes: dict[str, str] = {}
    resources: list[Resource]
    unresolved: list[Invoke]
    warnings: list[str]

    def document(self) -> list[dict[str, Any]]:
        """The resources, for JSON."""
        return documents.dump_python(self.resources, mode="json", by_alias=True)  # type: ignore[no-any-return]

    def of_type(self, type_: str) -> list[Resource]:
        """The resources of a type, such as gcp:sql/databaseInstance:DatabaseInstance."""
        return [one for one in self.resources if one.type == type_]

    def outputs(self) -> dict[str, Any]:
        """What the stack exports."""
        return next((one.outputs for one in self.of_type(STACK)), {})


documents = TypeAdapter(list[Resource])
