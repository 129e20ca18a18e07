"""Who gets in: databases, roles, and what the application may do."""

import re
from collections.abc import Iterator, Mapping

from runtime.verification.checks import Check, Code, judged
from runtime.verification.expectation import Expectation
from runtime.verification.reader import Reader

DATABASES = "Every database is there"
ROLES = "Every role is there"
APPLICATION = "The application's logins may do their duty"

_PRIVILEGE = re.compile(r"(\w+)(?: \(([^)]*)\))?")
_ABSENT_PRIVILEGES = """
SELECT format('%%s may not %%s %%s%%s', who, verb, place, CASE part WHEN '' THEN '' ELSE '.' || part END)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS wanted (who, verb, place, part)
WHERE CASE
    WHEN to_regrole(quote_ident(who)) IS NULL OR to_regclass(quote_ident(place)) IS NULL THEN false
    WHEN part = '' THEN NOT has_table_privilege(who, quote_ident(place), verb)
    ELSE NOT has_column_privilege(who, quote_ident(place), part, verb)
END
"""
# A superuser is a member of everything.
_LOGINS = """
SELECT rolname FROM pg_roles
WHERE rolcanlogin AND NOT rolsuper AND pg_has_role(oid, to_regrole(quote_ident(%s)), 'MEMBER')
    AND has_database_privilege(oid, current_database(), 'CONNECT')
"""


def databases(reader: Reader, expectation: Expectation) -> Check:
    """Those that are expected are there."""
    found = {row[0] for row in reader.rows("SELECT datname FROM pg_database WHERE datallowconn")}
    absent = sorted(set(expectation.databases) - found)
    action = "the backup is of another instance, or of a time before they were made; restore another backup"
    return judged(DATABASES, absent, Code.DATABASE_ABSENT, action, otherwise=", ".join(expectation.databases) or "-")


def roles(reader: Reader, expectation: Expectation) -> Check:
    """Those that are expected are there."""
    found = {row[0] for row in reader.rows("SELECT rolname FROM pg_roles")}
    absent = sorted(set(expectation.roles) - found)
    action = "python -m runtime migrate makes the groups again; a login is made as a user of the instance"
    return judged(ROLES, absent, Code.ROLE_ABSENT, action, otherwise=f"{len(expectation.roles)} roles")


def application(reader: Reader, expectation: Expectation) -> Check:
    """Somebody can log in as the application, and each group has its privileges."""
    wanted = list(_privileges(expectation.grants))
    faults = [row[0] for row in reader.rows(_ABSENT_PRIVILEGES, *map(list, zip(*wanted, strict=True)))]
    logins = [row[0] for row in reader.rows(_LOGINS, expectation.application_role)]
    if not logins:
        faults.insert(0, f"no login is a member of {expectation.application_role} and may connect")
    action = "python -m runtime migrate sets grants, and with DB_ROLE_MEMBERS memberships, again"
    seen = f"{', '.join(sorted(logins))}; {len(wanted)} privileges"
    return judged(APPLICATION, faults, Code.APPLICATION_REFUSED, action, otherwise=seen)


def _privileges(grants: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str, str]]:
    for table, granted in grants.items():
        for role, privileges in granted.items():
            for verb, columns in _PRIVILEGE.findall(privileges):
                for column in columns.split(",") if columns else [""]:
                    yield role, verb, table, column.strip()
