"""migrations/SCHEMA.md: every table, made from the catalog of a migrated database and the models' own words."""

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from sqlalchemy import Connection

from runbooks.reference.catalog import Catalog, Relation, Row, read_catalog
from runbooks.reference.markdown import code, link, table
from runtime.db import revisions
from runtime.db.metadata import MODELS, metadata
from runtime.settings import APP_ROLE, GROUP_ROLES, JOBS_ROLE, OWNER_ROLE, READONLY_ROLE

# PostgreSQL's own words, and shorter ones that mean the same.
SHORT = (
    (re.compile(r"::(character varying|text)(\[\])?"), ""),
    (re.compile(r"= ANY \(ARRAY\[([^\]]*)\]\)"), r"IN (\1)"),
    (re.compile("character varying"), "varchar"),
    (re.compile("timestamp with time zone"), "timestamptz"),
    (re.compile("double precision"), "float8"),
)
ROLES = {
    OWNER_ROLE: "owns everything and changes the schema; migrations become it",
    APP_ROLE: "the API",
    JOBS_ROLE: "what runs on a schedule, and the key commands",
    READONLY_ROLE: "people and reports that read",
}
# Of Alembic's own.
ALEMBIC = {"alembic_version": "The revision of this schema. Alembic's."}
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "all"}


def schema_page(connection: Connection) -> str:
    """The page of the database behind a connection."""
    return "\n\n".join(part for part in _parts(read_catalog(connection)) if part) + "\n"


def _parts(catalog: Catalog) -> Iterable[str]:
    words = _models_words()
    yield "# Holdfast: schema reference"
    yield (
        f"`make docs` makes this page from a database at revision {revisions.head()} and the words of the models; a "
        "test compares it. What the API shows of these tables is in [API.md](../runtime/API.md)."
    )
    yield table(
        ["table", "is"],
        [
            (link(code(relation.name), relation.name), _first_sentence(words.get(relation.name, "")))
            for relation in catalog.relations
        ],
    )
    yield "## Roles"
    yield "None can log in: logins are members of one. What a table's section does not name, a role may not do."
    yield table(["role", "is"], [(code(role), ROLES[role]) for role in (OWNER_ROLE, *GROUP_ROLES)])
    yield "## Functions"
    yield table(
        ["function", "returns", "may be called by"],
        [(code(row["name"]), code(row["result"]), _roles(row["callers"])) for row in catalog.functions],
    )
    yield f"Extensions, where the server has them: {', '.join(map(code, catalog.extensions))}."
    yield "## Tables"
    for relation in catalog.relations:
        yield from _relation(relation, words)


def _relation(relation: Relation, words: Mapping[str, str]) -> Iterable[str]:
    yield f"### {relation.name}"
    yield words.get(relation.name, "")
    if partitioned := relation.row["partitioned_by"]:
        yield f"Partitioned by {code(partitioned)}; its partitions are the platform's, not migrations'."
    abouts = _columns_words(relation.name)
    yield table(
        ["column", "type", "null", "default", "about"],
        [
            (
                code(column["name"]),
                code(_short(column["type"])),
                "yes" if column["nullable"] else "",
                code(_short(column["default"])) if column["default"] else "",
                abouts.get(column["name"], ""),
            )
            for column in relation.columns
        ],
    )
    yield _list("constraint", relation.constraints)
    yield _list("index", relation.indexes)
    yield _list("trigger", relation.triggers)
    if relation.row["row_security"]:
        yield table(
            ["row policy", "for", "rows that are seen", "rows that may be written"],
            [
                (
                    code(row["name"]),
                    COMMANDS[row["command"]],
                    code(row["visible"]) if row["visible"] else "",
                    code(row["writable"]) if row["writable"] else "",
                )
                for row in relation.policies
            ],
        )
    yield table(
        ["role", "may"],
        [
            (code(role), _privileges(list(rows)))
            for role, rows in groupby(relation.privileges, key=lambda row: str(row["role"]))
        ],
    )


def _list(head: str, rows: Sequence[Row]) -> str:
    return table([head, "is"], [(code(row["name"]), code(_short(row["definition"]))) for row in rows]) if rows else ""


def _privileges(rows: Sequence[Row]) -> str:
    found = []
    for privilege in PRIVILEGES:
        columns = [row["column"] for row in rows if row["privilege"] == privilege]
        if columns:
            named = ", ".join(code(column) for column in columns if column is not None)
            found.append(privilege if None in columns else f"{privilege} of {named}")
    return "; ".join(found)


def _models_words() -> dict[str, str]:
    """By table, what its model says of itself."""
    return ALEMBIC | {
        model.__tablename__: " ".join(inspect.cleandoc(model.__doc__ or "").split())
        for module in MODELS
        for model in vars(module).values()
        if hasattr(model, "__tablename__")
    }


def _columns_words(name: str) -> dict[str, str]:
    """By column, what its model says of it."""
    found = metadata.tables.get(name)
    return {} if found is None else {column.name: column.doc for column in found.columns if column.doc}


def _first_sentence(words: str) -> str:
    return words.split(". ", maxsplit=1)[0].rstrip(".") + "." if words else ""


def _roles(names: str | None) -> str:
    if not names:
        return "the owner alone"
    return ", ".join(name if name == "everyone" else code(name) for name in names.split(", "))


def _short(words: str) -> str:
    for long, short in SHORT:
        words = long.sub(short, words)
    return words
