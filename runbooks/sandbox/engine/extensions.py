"""Extensions that the customer may make, who is no superuser: those that Cloud SQL supports."""

from functools import cache
from pathlib import Path

from runbooks.sandbox.engine.programs import run

# Those of Cloud SQL that PostgreSQL's own distribution has.
SUPPORTED = (
    *("amcheck", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dict_int", "dict_xsyn", "earthdistance"),
    *("fuzzystrmatch", "hstore", "intagg", "intarray", "isn", "lo", "ltree", "pageinspect", "pg_buffercache"),
    *("pg_freespacemap", "pg_prewarm", "pg_stat_statements", "pg_trgm", "pg_visibility", "pgcrypto", "pgrowlocks"),
    *("pgstattuple", "postgres_fdw", "sslinfo", "tablefunc", "tsm_system_rows", "tsm_system_time", "unaccent"),
    "uuid-ossp",
)
FIRST_WITH_A_PATH = 18
PRELOADED = "pg_stat_statements"


def settings(programs: Path, version: int, folder: Path) -> dict[str, str]:
    """The server's settings by which the supported extensions are trusted, and the one that is always loaded is.

    PostgreSQL 16 cannot be told another place for them, and its build has none.

    Args:
        programs: PostgreSQL's.
        version: its major version.
        folder: that of their control files, which `prepare` makes.
    """
    found = _found(programs)
    if version < FIRST_WITH_A_PATH or not found:
        return {}
    preloaded = {"shared_preload_libraries": PRELOADED} if PRELOADED in found else {}
    return {"extension_control_path": f"{folder}:$system", **preloaded}


def prepare(programs: Path, folder: Path) -> None:
    """Make the control files, if they are not there."""
    if (folder / "extension").exists():
        return
    (folder / "extension").mkdir(mode=0o700, parents=True)
    for name in _found(programs):
        control = _shared(programs) / f"{name}.control"
        said = "".join(f"{line}\n" for line in control.read_text().splitlines() if not line.startswith("trusted"))
        (folder / "extension" / control.name).write_text(f"{said}trusted = true\ndirectory = '{control.parent}'\n")


@cache
def _found(programs: Path) -> frozenset[str]:
    return frozenset(name for name in SUPPORTED if (_shared(programs) / f"{name}.control").exists())


@cache
def _shared(programs: Path) -> Path:
    return Path(run(programs / "pg_config", "--sharedir").strip()) / "extension"
