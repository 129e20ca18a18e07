"""`python -m runtime` and `holdfast`: what the container runs, and what other distributions add by entry point."""

import sys
from importlib.metadata import EntryPoint, entry_points

import typer
from sqlalchemy.exc import DBAPIError

from runtime.errors import HoldfastError, first_line


def main() -> None:
    """`python -m runtime`: what the container runs."""
    app = _new_app()
    _add_own(app)
    _run(app)


def console() -> None:
    """`holdfast`: the same, and the commands of whatever else is installed, such as the operator's.

    An entry point is named as its command, and only what is asked for is loaded. Several may name one function.
    """
    app = _new_app()
    others = entry_points(group="holdfast.commands")
    chosen = [point for point in others if point.name in sys.argv[1:2]]
    if not chosen:
        _add_own(app)
        own = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
        chosen = [] if own & set(sys.argv[1:2]) else list(others)
    _add(app, chosen)
    _run(app)


def _new_app() -> typer.Typer:
    app = typer.Typer(name="holdfast", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_describe)
    return app


def _describe() -> None:
    """Holdfast: a persistence platform whose promises are executed."""


def _add_own(app: typer.Typer) -> None:
    from runtime.commands.app import register  # noqa: PLC0415  # a second of imports, for those who ask

    register(app)


def _add(app: typer.Typer, points: list[EntryPoint]) -> None:
    for point in {point.value: point for point in points}.values():
        point.load()(app)


def _run(app: typer.Typer) -> None:
    """Run the command. An error that a person is meant to read is one line."""
    try:
        app()
    except HoldfastError as error:
        _refuse(str(error))
    except DBAPIError as error:
        _refuse(f"the database: {first_line(error.orig or error)}")


def _refuse(line: str) -> None:
    print(f"holdfast: {line}", file=sys.stderr)  # noqa: T201  # it is a command line
    sys.exit(1)


if __name__ == "__main__":
    main()
