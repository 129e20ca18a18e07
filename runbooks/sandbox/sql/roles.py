"""The roles that every Cloud SQL instance has, and names in SQL."""

from runbooks.sandbox.engine.cluster import Cluster
from runbooks.sandbox.sql.errors import invalid_request

SUPERUSER = "cloudsqlsuperuser"
# By the type of an IAM user: what tells its type, in the cluster as with Google.
IAM_ROLES = {
    "CLOUD_IAM_USER": "cloudsqliamuser",
    "CLOUD_IAM_SERVICE_ACCOUNT": "cloudsqliamserviceaccount",
    "CLOUD_IAM_GROUP": "cloudsqliamgroup",
}
DEFAULT_USER = "postgres"
DEFAULT_DATABASE = "postgres"


def prepare(cluster: Cluster, password: str | None) -> None:
    """Make a new cluster's roles.

    Args:
        cluster: it runs.
        password: of `postgres`; without one nobody gets in as that.
    """
    cluster.execute(f"CREATE ROLE {SUPERUSER} NOLOGIN CREATEROLE CREATEDB")
    cluster.execute(f"GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO {SUPERUSER} WITH ADMIN OPTION")
    for role in IAM_ROLES.values():
        cluster.execute(f"CREATE ROLE {role} NOLOGIN")
    cluster.execute(f"CREATE ROLE {DEFAULT_USER} LOGIN CREATEROLE CREATEDB IN ROLE {SUPERUSER}")
    cluster.execute(f"ALTER DATABASE postgres OWNER TO {SUPERUSER}")
    for database in ("template1", DEFAULT_DATABASE):
        # What extensions keep from everybody, such as amcheck's functions: a customer has nobody above to ask.
        granted = f"GRANT EXECUTE ON FUNCTIONS TO {SUPERUSER}"
        cluster.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {cluster.superuser} {granted}", database=database)
    if password:
        cluster.execute(f"ALTER ROLE {DEFAULT_USER} PASSWORD %s", password)


def quoted(name: str) -> str:
    """A name in SQL.

    Raises:
        ApiError: PostgreSQL has no such names.
    """
    if not name or "\0" in name or len(name.encode()) > 63:  # noqa: PLR2004  # NAMEDATALEN
        message = "A name must have from 1 to 63 bytes."
        raise invalid_request(message)
    return '"' + name.replace('"', '""') + '"'


def quoted_with_parameters(name: str) -> str:
    """A name in SQL that has placeholders too.

    Raises:
        ApiError: PostgreSQL has no such names.
    """
    return quoted(name).replace("%", "%%")
