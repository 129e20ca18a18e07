"""What the migrations say: their head, and which tables a revision has."""

import functools
import io
import re
import warnings

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from runtime.db.release import migrations_folder
from runtime.errors import PreflightError

_CREATE_OR_DROP = re.compile(r"^(CREATE|DROP) TABLE (?:IF (?:NOT )?EXISTS )?\"?(\w+)", re.MULTILINE)


def alembic_config() -> Config:
    """Alembic's configuration, wherever the migrations are installed."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


@functools.cache
def head() -> str:
    """The one newest revision.

    Raises:
        PreflightError: the chain of revisions is broken, or has two ends.
    """
    script = ScriptDirectory.from_config(alembic_config())
    try:
        with warnings.catch_warnings():
            # Alembic only warns of a down_revision that no migration has, and of an id that two have.
            warnings.simplefilter("error", UserWarning)
            heads = script.get_heads()
            list(script.walk_revisions())
    except (KeyError, UserWarning, RevisionError, CommandError) as error:
        message = f"the migrations are no chain: {str(error).rstrip('.')}; correct the revision that this names"
        raise PreflightError(message) from None
    if len(heads) != 1:
        message = f"the migrations end in {len(heads)} heads ({', '.join(heads)}); merge them into one chain"
        raise PreflightError(message)
    return str(heads[0])


def known() -> set[str]:
    """All revision ids."""
    return {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def tables_at(revision: str | None) -> set[str]:
    """Tables that a database at the revision has, from the SQL that the migrations print."""
    if revision is None:
        return set()
    printed = io.StringIO()
    config = alembic_config()
    config.output_buffer = printed
    command.upgrade(config, f"base:{revision}", sql=True)
    tables: set[str] = set()
    for verb, name in _CREATE_OR_DROP.findall(printed.getvalue()):
        (tables.add if verb == "CREATE" else tables.discard)(name)
    return tables - {"alembic_version"}
