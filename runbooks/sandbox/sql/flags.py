"""Database flags: what PostgreSQL itself says of its settings."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from runbooks.local.binaries import ordinary_user
from runbooks.sandbox.engine.programs import own_environment, programs_of, run
from runbooks.sandbox.sql import rules
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

TYPES = {"BOOLEAN": "BOOLEAN", "INTEGER": "INTEGER", "REAL": "FLOAT", "STRING": "STRING", "ENUM": "STRING"}
# Those that need a new start of the server.
AT_START = "postmaster"
POOL = "SQL_FLAG_SCOPE_CONNECTION_POOL"
# No setting has this value; PostgreSQL tells those that it has.
NO_VALUE = "?"
VALUES = re.compile(r"Available values: (.+)\.")
SECONDS = 30


def list_(sql: Sql, call: Call) -> Document:  # noqa: ARG001  # every handler takes both
    """`flags.list`: of one version, or of all; a flag that differs between versions is there for each."""
    asked = call.query.get("databaseVersion")
    versions = rules.VERSIONS if asked is None else {asked: rules.version_of({"databaseVersion": asked})}
    if call.query.get("flagScope") == POOL:
        return {"kind": "sql#flagsList", "items": []}
    items: list[Document] = []
    for name, number in versions.items():
        for flag in described(number):
            same = next((one for one in items if {**one, "appliesTo": []} == {**flag, "appliesTo": []}), None)
            if same is None:
                items.append(flag | {"appliesTo": [name]})
            else:
                same["appliesTo"].append(name)
    return {"kind": "sql#flagsList", "items": items}


@cache
def described(version: int) -> tuple[Document, ...]:
    """The flags of a major version."""
    lines = run(programs_of(version) / "postgres", "--describe-config", as_ordinary_user=True).splitlines()
    rows = [line.split("\t") for line in lines]
    enums = [row[0] for row in rows if row[3] == "ENUM"]
    with ThreadPoolExecutor() as pool:
        values = dict(zip(enums, pool.map(lambda name: _values(version, name), enums), strict=True))
    return tuple(_flag(row, values.get(row[0])) for row in rows)


def _flag(row: list[str], values: list[str] | None) -> Document:
    name, context, _, kind, _, least, most, *_ = row
    flag: Document = {
        "kind": "sql#flag",
        "name": name,
        "type": TYPES[kind],
        "requiresRestart": context == AT_START,
        "flagScope": "SQL_FLAG_SCOPE_DATABASE",
        "inBeta": False,
    }
    if kind == "INTEGER":
        flag |= {"minValue": least, "maxValue": most}
    if values:
        flag["allowedStringValues"] = values
    return flag


def _values(version: int, name: str) -> list[str]:
    # It ends before it looks for any data.
    command = [*ordinary_user(), str(programs_of(version) / "postgres"), "-c", f"{name}={NO_VALUE}", "-C", name]
    environment = {**own_environment(), "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    found = VALUES.search(done.stderr)
    return found[1].split(", ") if found else []
