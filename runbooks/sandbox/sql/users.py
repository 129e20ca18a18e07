"""Users of an instance: roles of PostgreSQL."""

from runbooks.sandbox.sql import errors, roles
from runbooks.sandbox.sql.call import Call
from runbooks.sandbox.sql.databases import statement
from runbooks.sandbox.sql.errors import ApiError, invalid_operation, invalid_request, invalid_state, not_found
from runbooks.sandbox.sql.operations import Task
from runbooks.sandbox.sql.records import Instance
from runbooks.sandbox.sql.service import Sql
from runbooks.sandbox.store import Document

LIST = """
SELECT r.rolname, coalesce(array_agg(g.rolname ORDER BY g.rolname) FILTER (WHERE g.oid IS NOT NULL), '{}')::text[]
FROM pg_roles r
LEFT JOIN pg_auth_members m ON m.member = r.oid
LEFT JOIN pg_roles g ON g.oid = m.roleid
WHERE r.rolcanlogin AND r.rolname <> current_user AND NOT r.rolreplication
GROUP BY r.oid, r.rolname ORDER BY r.oid
"""
BUILT_IN = "BUILT_IN"
SERVICE_ACCOUNT = ".gserviceaccount.com"


def insert(sql: Sql, call: Call) -> Document:
    """`users.insert`."""
    instance = _writable(sql, call)
    kind = call.body.get("type", BUILT_IN)
    name = str(call.required("name"))
    if kind != BUILT_IN and kind not in roles.IAM_ROLES:
        message = f"The sandbox has no users of type {kind}."
        raise invalid_request(message)
    _check_name(name, kind)
    if _find(sql, instance, name):
        message = f'role "{name}" already exists'
        raise invalid_state(message)
    groups = [str(role) for role in call.body.get("databaseRoles", [])] or [roles.SUPERUSER]
    password = call.body.get("password")
    if kind != BUILT_IN:
        groups = [roles.IAM_ROLES[kind], *call.body.get("databaseRoles", [])]
        password = sql.fleet.logins.password_of(name)
    attributes = "LOGIN" if kind != BUILT_IN else "LOGIN CREATEROLE CREATEDB"
    members = ", ".join(map(roles.quoted_with_parameters, groups))
    text = f"CREATE ROLE {roles.quoted_with_parameters(name)} {attributes} IN ROLE {members} PASSWORD %s"

    def work(task: Task) -> None:
        task.checkpoint()
        statement(sql, instance, text, password)

    return sql.operations.begin(call, "CREATE_USER", instance.name, work)


def list_(sql: Sql, call: Call) -> Document:
    """`users.list`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    return {"kind": "sql#usersList", "items": _all(sql, instance)}


def get(sql: Sql, call: Call) -> Document:
    """`users.get`."""
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    return _get(sql, instance, call.path["name"])


def update(sql: Sql, call: Call) -> Document:
    """`users.update`: its password, and its roles."""
    instance = _writable(sql, call)
    user = _get(sql, instance, _named(call))
    name = user["name"]
    added = [role for role in call.query.get("databaseRoles", "").split(",") if role]
    password = call.body.get("password")
    if password is not None and user["type"] != BUILT_IN:
        message = "An IAM user has no password."
        raise invalid_operation(message)
    members = ", ".join(map(roles.quoted, added))
    revokes = call.flag("revokeExistingRoles")
    former = ", ".join(map(roles.quoted, user.get("databaseRoles", [])))

    def work(task: Task) -> None:
        task.checkpoint()
        if revokes and former:
            statement(sql, instance, f"REVOKE {former} FROM {roles.quoted(name)}")
        if members:
            statement(sql, instance, f"GRANT {members} TO {roles.quoted(name)}")
        if password is not None:
            statement(sql, instance, f"ALTER ROLE {roles.quoted_with_parameters(name)} PASSWORD %s", password)

    return sql.operations.begin(call, "UPDATE_USER", instance.name, work)


def delete(sql: Sql, call: Call) -> Document:
    """`users.delete`."""
    instance = _writable(sql, call)
    name = _get(sql, instance, _named(call))["name"]

    def work(task: Task) -> None:
        task.checkpoint()
        statement(sql, instance, f"DROP ROLE {roles.quoted(name)}")

    return sql.operations.begin(call, "DELETE_USER", instance.name, work)


def _writable(sql: Sql, call: Call) -> Instance:
    instance = sql.instances.get(call.project, call.instance)
    instance.require_running()
    if instance.primary:
        message = "A replica's users are its primary's."
        raise invalid_operation(message)
    return instance


def _named(call: Call) -> str:
    name = call.query.get("name") or call.body.get("name")
    if not name:
        message = "Missing parameter: name."
        raise invalid_request(message)
    return str(name)


def _check_name(name: str, kind: str) -> None:
    roles.quoted(name)
    refusal: ApiError | None = None
    if kind == BUILT_IN and "@" in name:
        refusal = invalid_request("The name of a built-in user has no @.")
    elif kind != BUILT_IN and ("@" not in name or name != name.lower()):
        refusal = invalid_request("The name of an IAM user is an e-mail address in lowercase.")
    elif kind == "CLOUD_IAM_SERVICE_ACCOUNT" and name.endswith(SERVICE_ACCOUNT):
        refusal = invalid_request(f"The name of a service account is its e-mail address without {SERVICE_ACCOUNT}.")
    if refusal is not None:
        raise refusal


def _all(sql: Sql, instance: Instance) -> list[Document]:
    kinds = {role: kind for kind, role in roles.IAM_ROLES.items()}
    found = []
    for name, groups in sql.fleet.cluster(instance).execute(LIST):
        kind = next((kinds[group] for group in groups if group in kinds), BUILT_IN)
        user = {
            "kind": "sql#user",
            "name": name,
            "host": "",
            "instance": instance.name,
            "project": instance.project,
            "type": kind,
            "databaseRoles": [group for group in groups if group not in kinds],
        }
        found.append(user | ({"iamEmail": name} if kind != BUILT_IN else {}))
    return found


def _find(sql: Sql, instance: Instance, name: str) -> Document | None:
    return next((one for one in _all(sql, instance) if one["name"] == name), None)


def _get(sql: Sql, instance: Instance, name: str) -> Document:
    found = _find(sql, instance, name)
    if found is None:
        raise not_found(errors.USER)
    return found
