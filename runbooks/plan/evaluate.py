"""Runs a Pulumi program with Pulumi's own runtime, against a monitor of ours."""

import asyncio
import contextlib
import runpy
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]  # it has no types
from pulumi import RunError
from pulumi.runtime import config, run_in_stack
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.settings import Settings as RuntimeSettings
from pulumi.runtime.settings import configure, set_root_resource

from infra.errors import ConfigError
from runbooks.plan.errors import PlanError
from runbooks.plan.model import Plan
from runbooks.plan.monitor import Monitor, Unknown
from runbooks.plan.plausible import Plausible
from runbooks.plan.project import Project, Settings
from runbooks.plan.sdk import importing
from runtime.errors import HoldfastError

# An output that never resolves would hold the program forever.
SECONDS = 60


def evaluate(project: Project, stack: str, *, resolve: bool = False, changes: Mapping[str, str] | None = None) -> Plan:
    """The plan of a stack.

    Each evaluation has a thread of its own. Pulumi keeps its state in context variables, and a new thread begins
    without any: one evaluation leaves nothing behind for the next.

    Args:
        project: where the program is.
        stack: which settings it is given.
        resolve: give each output a plausible value; otherwise what only the cloud knows stays unknown.
        changes: settings by path, as service.image, over the stack's.

    Raises:
        PlanError: there is no such stack, or the program fails.
    """
    settings = project.settings(stack, changes)
    if not project.program.is_file():
        message = f"there is no program: {project.program}"
        raise PlanError(message)
    mocks = Plausible(project.name, settings.values) if resolve else Unknown()
    monitor = Monitor(stack, project.name, mocks)
    engine = _Engine()
    failures: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(_run(project, stack, settings, monitor, engine))
        except BaseException as error:  # noqa: BLE001  # it is told by the thread that waits
            failures.append(error)

    thread = threading.Thread(target=target, name=f"plan-{stack}", daemon=True)
    # What a program prints is for people: standard output is the plan's.
    with contextlib.redirect_stdout(sys.stderr), importing():
        thread.start()
        thread.join()
    if failures:
        raise PlanError(_line(failures[0], project, monitor)) from failures[0]
    if engine.errors:
        raise PlanError(engine.errors[0])
    return Plan(
        stack=stack,
        changes=dict(changes or {}),
        resources=sorted(monitor.registered.values(), key=lambda one: one.urn),
        unresolved=sorted(monitor.invokes, key=lambda one: (one.token, str(one.args))),
        warnings=engine.warnings,
    )


async def _run(project: Project, stack: str, settings: Settings, monitor: Monitor, engine: "_Engine") -> None:
    # What a failed program leaves unawaited is not a second fault.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    configure(
        RuntimeSettings(
            project=project.name,
            stack=stack,
            monitor=monitor,
            engine=engine,
            dry_run=True,
            organization="organization",
            root_directory=str(project.folder),
        )
    )
    set_root_resource(None)  # type: ignore[arg-type]  # none yet
    config.set_all_config(settings.values, settings.secrets)
    try:
        async with asyncio.timeout(SECONDS):
            await run_in_stack(lambda: _program(project.program))
    except TimeoutError:
        message = f"the program did not end within {SECONDS} s: an output never resolves"
        raise PlanError(message) from None


def _program(path: Path) -> None:
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.path.remove(folder)


class _Engine:
    """Takes what the program logs."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def Log(self, request: engine_pb2.LogRequest) -> Empty:  # noqa: N802  # gRPC's
        """A line of the program or of the SDK."""
        line = " ".join(request.message.split())
        if request.severity == engine_pb2.ERROR:
            self.errors.append(line)
        elif request.severity == engine_pb2.WARNING:
            self.warnings.append(line)
        return Empty()

    def RequirePulumiVersion(self, request: engine_pb2.RequirePulumiVersionRequest) -> Empty:  # noqa: N802  # gRPC's
        """There is no pulumi command whose version could be wrong."""
        del request
        return Empty()


def _line(error: BaseException, project: Project, monitor: Monitor) -> str:
    """One line: a message that is meant for people as it is, any other with its place in the program."""
    causes = list(_causes(error))
    if settings := next((cause for cause in causes if isinstance(cause, ConfigError)), None):
        # One line a fault.
        return str(settings)
    if known := next((cause for cause in causes if isinstance(cause, HoldfastError | RunError)), None):
        return " ".join(str(known).split())
    if isinstance(error, SystemExit):
        return f"the program ended with {error.code!r}"
    text = " ".join(str(error).split())
    called = traceback.extract_tb(error.__traceback__)
    if monitor.invokes and any(Path(one.filename).name.startswith("get_") for one in called):
        token = monitor.invokes[-1].token
        return f"the program cannot go on before the cloud has answered {token}; use the function that ends in _output"
    frames = [one for one in called if _is_ours(Path(one.filename), project)]
    place = ""
    if frames:
        place = f" ({Path(frames[-1].filename).relative_to(project.folder)}:{frames[-1].lineno})"
    return f"the program failed: {type(error).__name__}: {text}{place}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_ours(path: Path, project: Project) -> bool:
    program = project.program.parent
    return path.is_relative_to(program) or path.is_relative_to(project.folder / "infra")
