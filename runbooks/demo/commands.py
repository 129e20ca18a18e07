"""`holdfast demo`: a thin command over `perform`."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from runbooks.demo.display import show
from runbooks.demo.errors import DemoError
from runbooks.demo.performance import perform
from runbooks.demo.target import Target, local_platform
from runbooks.demo.worker import API_VARIABLE, KEY_VARIABLE
from runbooks.local.environment import forget_libpq_variables
from runbooks.local.folder import StateFolder
from runbooks.local.signals import StopRequested, stop_requests

Api = Annotated[
    str | None, typer.Option("--api", envvar=API_VARIABLE, help="Another platform on this machine; needs --key.")
]
Key = Annotated[str | None, typer.Option("--key", envvar=KEY_VARIABLE, help="A key of that platform's.")]
Seconds = Annotated[float, typer.Option(min=0.5, max=60, help="How long this machine is sampled.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]
State = Annotated[Path, typer.Option("--state", help="The folder of the platform that runs here, or is started.")]

DEFAULT_STATE = Path(".holdfast")
DEFAULT_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(demo)


def demo(
    *,
    api: Api = None,
    key: Key = None,
    seconds: Seconds = DEFAULT_SECONDS,
    as_json: Json = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Put real input through the platform and compare what comes back. The exit code is 0 when all of it is the same.

    It uses the platform that runs in this folder, or starts one and stops it again. Its rows stay; its keys end.
    """
    if (api is None) != (key is None):
        message = "--api and --key belong together: give both, or neither for the platform in this folder"
        raise DemoError(message)
    forget_libpq_variables()
    try:
        with stop_requests(), _platform(api, key, state) as target:
            verdict = perform(target, seconds=seconds)
    except StopRequested:
        message = "stopped before the end"
        raise DemoError(message) from None
    show(verdict, as_json=as_json)
    raise typer.Exit(0 if verdict.same else 1)


def _platform(api: str | None, key: str | None, state: Path) -> AbstractContextManager[Target]:
    if api is not None and key is not None:
        return nullcontext(Target(api, key))
    return local_platform(StateFolder(state.absolute().resolve()))
