"""Databases of an instance: what PostgreSQL itself says and does."""

import re

from runbooks.sandbox.engine.errors import EngineError
from runbooks.sandbox.sql import errors, roles
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.errors import OperationFailedError, invalid_request, invalid_state, not_found
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

LIST = """
SELECT datname, pg_encoding_to_char(encoding), CASE WHEN datlocprovider = 'b' THEN 'C.UTF8' ELSE datcollate END
FROM pg_database WHERE NOT datistemplate ORDER BY oid
"""
DEFAULT_CHARSET = "UTF8"
WORD = re.compile(r"[\w.@-]+")
# PostgreSQL's own locales have no provider of the operating system behind them here: all of these are one.
COLLATIONS = ("C", "C.UTF8", "C.UTF-8", "en_US.UTF8", "en_US.UTF-8")


def insert(sql: Sql, call: Call) -> Document:
    """`databases.insert`."""
    instance = _running(sql, call)
    name = str(call.required("name"))
    quoted = roles.quoted(name)
    if _find(sql, call, instance, name):
        message = f'database "{name}" already exists'
        raise invalid_state(message)
    options = _options(call.body)

    def work(task: Task) -> None:
        task.checkpoint()
        statement(sql, instance, f"CREATE DATABASE {quoted} OWNER {roles.SUPERUSER}{options}")

    return sql.operations.begin(call, "CREATE_DATABASE", instance.name, work)


def list_(sql: Sql, call: Call) -> Document:
    """`databases.list`."""
    instance = _running(sql, call)
    return {"kind": "sql#databasesList", "items": _all(sql, call, instance)}


def get(sql: Sql, call: Call) -> Document:
    """`databases.get`."""
    return _get(sql, call, _running(sql, call))


def update(sql: Sql, call: Call) -> Document:
    """`databases.patch` and `databases.update`: PostgreSQL changes nothing that they may say, so it is as it is."""
    instance = _running(sql, call)
    found = _get(sql, call, instance)
    same = {
        "name": (found["name"],),
        "instance": (instance.name,),
        "project": (instance.project,),
        "charset": (found["charset"], "UTF-8" if found["charset"] == "UTF8" else found["charset"]),
        "collation": COLLATIONS if found["collation"] in COLLATIONS else (found["collation"],),
    }
    for field, values in same.items():
        if (call.body.get(field) or values[0]) not in values:
            message = f"{field} of a PostgreSQL database cannot be changed. It is {values[0]}."
            raise invalid_request(message)
    return sql.operations.begin(call, "UPDATE_DATABASE", instance.name, Task.checkpoint)


def delete(sql: Sql, call: Call) -> Document:
    """`databases.delete`."""
    instance = _running(sql, call)
    name = _get(sql, call, instance)["name"]
    if name == "postgres":
        message = "The database postgres cannot be deleted."
        raise invalid_request(message)

    def work(task: Task) -> None:
        task.checkpoint()
        statement(sql, instance, f"DROP DATABASE {roles.quoted(name)}")

    return sql.operations.begin(call, "DELETE_DATABASE", instance.name, work)


def statement(sql: Sql, instance: Instance, text: str, *parameters: object) -> None:
    """Run a statement in an operation.

    Raises:
        OperationFailedError: PostgreSQL refuses it.
    """
    try:
        sql.fleet.cluster(instance).execute(text, *parameters)
    except EngineError as error:
        raise OperationFailedError(errors.RDBMS, str(error)) from None


def _running(sql: Sql, call: Call) -> Instance:
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    return instance


def _options(body: Document) -> str:
    charset, collation = body.get("charset"), body.get("collation")
    for text in filter(None, (charset, collation)):
        if not WORD.fullmatch(text):
            message = "charset and collation must be names."
            raise invalid_request(message)
    # Only template0 can be copied in another encoding; it lacks what `roles.prepare` gives the customer.
    encoding = f" ENCODING '{charset}' TEMPLATE template0" if charset and charset.upper() != DEFAULT_CHARSET else ""
    if collation and collation not in COLLATIONS:
        message = f"the sandbox has no collation {collation}."
        raise invalid_request(message)
    return encoding


def _all(sql: Sql, call: Call, instance: Instance) -> list[Document]:
    return [
        {
            "kind": "sql#database",
            "name": name,
            "charset": charset,
            "collation": collation,
            "instance": instance.name,
            "project": instance.project,
            "selfLink": call.link("instances", instance.name, "databases", name),
        }
        for name, charset, collation in sql.fleet.cluster(instance).execute(LIST)
    ]


def _find(sql: Sql, call: Call, instance: Instance, name: str) -> Document | None:
    return next((one for one in _all(sql, call, instance) if one["name"] == name), None)


def _get(sql: Sql, call: Call, instance: Instance) -> Document:
    found = _find(sql, call, instance, call.path["database"])
    if found is None:
        raise not_found(errors.DATABASE)
    return found
