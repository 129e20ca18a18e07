"""How a migration runs: as the owner, alone, in one transaction each, giving up rather than blocking."""

import re

from alembic import context
from sqlalchemy import Connection, text

from runtime.db.engine import make_engine
from runtime.db.locks import alone
from runtime.db.metadata import metadata
from runtime.db.roles import become_owner, ensure_roles, may_migrate
from runtime.settings import OWNER_ROLE, Settings, load

# A migration that waits for a lock blocks everyone behind it: better to fail and be tried again.
LOCK_TIMEOUT = "4s"
STATEMENT_TIMEOUT = "5s"

# The platform makes and drops these by month; they are not migrations'.
PARTITION = re.compile(r"system_metrics_(\d{4}_\d{2}|default)")


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leave the monthly partitions out of comparisons."""
    return not (kind == "table" and name is not None and PARTITION.fullmatch(name))


def migrate_online(connection: Connection) -> None:
    """Run what was asked for on one connection."""
    with alone(connection):
        if not may_migrate(connection):
            ensure_roles(connection)
        become_owner(connection)
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=include_name,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        try:
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.rollback()
            connection.execute(text("RESET ROLE"))
            connection.execute(text("RESET lock_timeout"))
            connection.execute(text("RESET statement_timeout"))
            connection.commit()


def run() -> None:
    """Offline: print the SQL. Online: on the caller's connection, or on one of our own."""
    if context.is_offline_mode():
        context.configure(
            dialect_name="postgresql",
            # Or each percent sign would be printed twice, as psycopg2 wants it.
            dialect_opts={"paramstyle": "named"},
            target_metadata=metadata,
            literal_binds=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            # As online: what is made belongs to the owner, whoever runs the script.
            context.execute(f"SET ROLE {OWNER_ROLE}")
            context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            context.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
            context.run_migrations()
        return
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        migrate_online(given)
        return
    engine = make_engine(load(Settings), application_name="holdfast-alembic", duty="migration")
    try:
        with engine.connect() as connection:
            migrate_online(connection)
    finally:
        engine.dispose()


run()
