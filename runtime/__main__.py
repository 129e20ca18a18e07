"""`python -m runtime` and `holdfast`: what the container runs, and what other distributions add by entry point."""

import sys
from importlib.metadata import entry_points

import typer
from sqlalchemy.exc import DBAPIError

from runtime.commands import database, keys, serve
from runtime.db.migrate import first_line
from runtime.errors import HoldfastError

app = typer.Typer(name="holdfast", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.command("serve")(serve.serve)
app.command("migrate")(database.migrate)
app.command("partitions")(database.partitions)
app.command("forget-idempotency-keys")(database.forget_idempotency_keys)
app.add_typer(keys.app, name="keys")


@app.callback()
def _describe() -> None:
    """Holdfast: a persistence platform whose promises are executed."""


def main() -> None:
    """`python -m runtime`: what the container runs. An error that a person is meant to read is one line."""
    try:
        app()
    except HoldfastError as error:
        _refuse(str(error))
    except DBAPIError as error:
        _refuse(f"the database: {first_line(error)}")


def _refuse(line: str) -> None:
    print(f"holdfast: {line}", file=sys.stderr)  # noqa: T201  # it is a command line
    sys.exit(1)


def console() -> None:
    """`holdfast`: the same, and the commands of whatever else is installed, such as the operator's."""
    for point in entry_points(group="holdfast.commands"):
        point.load()(app)
    main()


if __name__ == "__main__":
    main()
