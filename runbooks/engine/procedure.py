"""What a procedure is: declared steps, what each may touch, and what must hold before."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ConfigDict

from runbooks.engine.permissions import DESTRUCTIVE, KNOWN

if TYPE_CHECKING:
    from runbooks.engine.run import Run


class Inputs(BaseModel):
    """What is asked of a procedure, beside its target. No secrets: it is written into the journal."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Output(BaseModel):
    """What a step found out, for the later ones. No secrets: it is written into the journal."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Change:
    """What a dry run tells of a step: how it is before, and how it would be after."""

    before: str
    after: str


@dataclass(frozen=True)
class Step:
    """One step. An interrupted step runs again, so doing it twice is the same as doing it once.

    Attributes:
        name: a word or a few, with hyphens; unique in its procedure.
        do: does it. Its docstring's first line is what people read.
        plan: tells what it would do, and changes nothing.
        changes: the calls that change something, by their names in `permissions`. All others are refused.
        undo: what is done when it ends in a `FailedError` of that code. Only outcomes that are known are undone.
        wanted: whether what is asked needs it. One that is not wanted asks for nothing and does nothing.
    """

    name: str
    do: Callable[["Run"], Output | None]
    plan: Callable[["Run"], Change]
    changes: tuple[str, ...] = ()
    undo: Mapping[str, Callable[["Run"], None]] = field(default_factory=dict)
    wanted: Callable[["Run"], bool] = lambda _: True

    @property
    def title(self) -> str:
        """What it does, in a line."""
        return first_line_of(self.do)

    @property
    def destroys(self) -> bool:
        """Whether it may call what destroys."""
        return bool(set(self.changes) & DESTRUCTIVE)


@dataclass(frozen=True)
class Procedure:
    """A runbook that runs.

    Attributes:
        name: what one types.
        title: what it does, in a line.
        when: when one needs it, in a sentence or two.
        inputs: what is asked.
        preconditions: each raises `RefusedError`, by `Run.require`. They only read. They hold at a resume too, so
            they look at what the run itself has done.
        steps: in their order.
        destroys: whether a step may destroy something. One without this mark has no such step.
        after: what is left to do for people, such as reconciling the infrastructure's state.
    """

    name: str
    title: str
    when: str
    inputs: type[Inputs]
    steps: tuple[Step, ...]
    preconditions: tuple[Callable[["Run"], None], ...] = ()
    destroys: bool = False
    after: Callable[["Run"], list[str]] = lambda _: []

    def __post_init__(self) -> None:
        """See that it says what it is.

        Raises:
            ValueError: two steps have one name, a change is not known, or a step destroys and the mark is missing.
        """
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            message = f"{self.name}: two steps have the same name"
            raise ValueError(message)
        for step in self.steps:
            unknown = set(step.changes) - KNOWN
            if unknown:
                message = f"{self.name}: step {step.name} changes what is not known: {', '.join(sorted(unknown))}"
                raise ValueError(message)
            if not step.title:
                message = f"{self.name}: step {step.name} does not say what it does"
                raise ValueError(message)
        if any(step.destroys for step in self.steps) != self.destroys:
            message = f"{self.name}: its mark and its steps do not agree on whether it destroys"
            raise ValueError(message)

    @property
    def changes(self) -> bool:
        """Whether a step changes anything."""
        return any(step.changes for step in self.steps)

    @property
    def fingerprint(self) -> str:
        """What has to be the same for a run to be resumed by other code: steps, what they tell, what is asked."""
        parts = [self.name, [(step.name, _told(step)) for step in self.steps], sorted(self.inputs.model_fields)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def first_line_of(described: object) -> str:
    """The first line of something's docstring, without its full stop."""
    lines = (inspect.getdoc(described) or "").splitlines()
    return lines[0].rstrip(".") if lines else ""


def _told(step: Step) -> list[list[str]]:
    annotation = inspect.signature(step.do).return_annotation
    models = get_args(annotation) or (annotation,)
    return [sorted(one.model_fields) for one in models if isinstance(one, type) and issubclass(one, Output)]
