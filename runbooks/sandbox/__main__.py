"""`python -m runbooks.sandbox`: the same as `holdfast sandbox`, where that is not on the path."""

import sys

import typer

from runbooks.sandbox.commands import register
from runtime.errors import HoldfastError

if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    register(app)
    try:
        app()
    except HoldfastError as error:
        sys.exit(f"holdfast: {error}")
