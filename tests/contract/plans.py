"""The plans of both stacks, evaluated once a process."""

import functools
from pathlib import Path

from runbooks.plan.evaluate import evaluate
from runbooks.plan.model import Plan
from runbooks.plan.project import Project

ROOT = Path(__file__).parent.parent.parent
STACKS = ("dev", "prod")
DIGEST = "0123456789abcdef" * 4
IMAGE = f"us-central1-docker.pkg.dev/holdfast-dev/holdfast/runtime@sha256:{DIGEST}"


def planned(
    stack: str, *, image: bool = True, resolve: bool = False, changes: tuple[tuple[str, str], ...] = ()
) -> Plan:
    """The plan of a stack. Nobody may change it.

    Args:
        stack: dev or prod.
        image: with a runtime image; without one only the base is built.
        resolve: with plausible values for what only the cloud knows.
        changes: settings by path, over the stack's.
    """
    over = {"service.image": IMAGE} if image else {}
    return _evaluated(stack, resolve, tuple(sorted({**over, **dict(changes)}.items())))


@functools.cache
def _evaluated(stack: str, resolve: bool, changes: tuple[tuple[str, str], ...]) -> Plan:  # noqa: FBT001  # however it is called, it is cached once
    return evaluate(Project(ROOT), stack, resolve=resolve, changes=dict(changes))
