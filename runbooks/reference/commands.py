"""`holdfast reference`: a thin command over the files that are made from the code."""

from typing import Annotated

import typer

from runbooks.local.environment import forget_libpq_variables

Check = Annotated[bool, typer.Option("--check", help="Write nothing; the exit code is 1 when a file is stale.")]


def register(app: typer.Typer) -> None:
    """Add the command to `holdfast`."""
    app.command()(reference)


def reference(*, check: Check = False) -> None:
    """Write this checkout's references from its code and its migrations: API, schema, target, procedures."""
    # Here and not above: every command of `holdfast` would wait for the API that is described.
    from runbooks.reference.files import all_files, refuse_stale, write  # noqa: PLC0415

    forget_libpq_variables()
    files = all_files()
    if check:
        refuse_stale(files)
        return
    for name in write(files):
        typer.echo(f"written: {name}")
