"""An environment as the infrastructure makes one, in a sandbox: instance, secrets, logins, schema and rows."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from google.cloud import run_v2, secretmanager_v1
from pydantic import SecretStr
from sqlalchemy import URL

from runbooks.engine.cloud import options
from runbooks.engine.permissions import KNOWN, Permissions
from runbooks.engine.target import Address, Connector, Endpoints, Login, Operator, Service, Target
from runbooks.engine.tools import Tools
from runbooks.local.environment import runtime_settings
from runbooks.rehearsal import rows
from runtime.db.engine import SOCKETS, make_engine
from runtime.db.migrate import migrate
from runtime.jobs.partitions import ensure_partitions
from runtime.settings import APP_ROLE, JOBS_ROLE

PROJECT = "rehearsal"
REGION = "us-central1"
DR_REGION = "us-east1"
INSTANCE = "holdfast"
DATABASE = "holdfast"
OPERATOR = "postgres"
API_USERS = ("holdfast_api_a", "holdfast_api_b")
JOBS_USER = "holdfast_jobs_login"
# What it says to those who come in as themselves.
POINTED = "GCP_SQL_INSTANCE"
POINTER = f"projects/{PROJECT}/secrets/holdfast-instance"
SERVICES = (
    Service(name="server", secret=POINTER, service=f"projects/{PROJECT}/locations/{REGION}/services/holdfast-api"),
    Service(name="jobs", secret=POINTER),
)
# The cheapest of the edition that production has.
TIER = "db-custom-1-3840"
CONNECTORS_ONLY = {
    "connectorEnforcement": "REQUIRED",
    "ipConfiguration": {
        "ipv4Enabled": False,
        "privateNetwork": f"projects/{PROJECT}/global/networks/holdfast",
        "sslMode": "ENCRYPTED_ONLY",
    },
}


@dataclass(frozen=True)
class Environment:
    """What was made.

    Attributes:
        target: for procedures.
        settings: the runtime's, by their names in its environment.
    """

    target: Target
    settings: Mapping[str, str]


def build(endpoints: Mapping[str, str], *, regional: bool = True, by_connector: bool = False) -> Environment:
    """Make it in an empty sandbox.

    Args:
        endpoints: the sandbox's, by the names of services.
        regional: whether the instance has a standby.
        by_connector: whether the instance lets in connectors only, as production's does.
    """
    target = Target(
        version=1,
        name="rehearsal",
        project=PROJECT,
        region=REGION,
        dr_region=DR_REGION,
        instance=INSTANCE,
        database=DATABASE,
        operator=Operator(user=OPERATOR, secret=f"projects/{PROJECT}/secrets/operator-password"),
        logins=(Login(name="api", users=API_USERS, secret=f"projects/{PROJECT}/secrets/api-database-url"),),
        services=SERVICES,
        connection=Connector(via="connector") if by_connector else Address(),
        endpoints=Endpoints.of_sandbox(endpoints),
    )
    permissions = Permissions()
    permissions.allow("building", KNOWN)
    tools = Tools(target, permissions)
    try:
        return _build(target, tools, regional=regional, by_connector=by_connector)
    finally:
        tools.close()


def _build(target: Target, tools: Tools, *, regional: bool, by_connector: bool) -> Environment:
    admin = tools.admin
    passwords = {user: SecretStr(secrets.token_urlsafe(24)) for user in (OPERATOR, *API_USERS, JOBS_USER)}
    for secret in (target.operator.secret, target.logins[0].secret, POINTER):
        _make_secret(target, secret)
    tools.secrets.add(target.operator.secret, passwords[OPERATOR])
    admin.wait(
        admin.instances.insert(
            target.instance,
            database_version="POSTGRES_18",
            region=target.region,
            tier=TIER,
            edition="ENTERPRISE",
            availability="REGIONAL" if regional else "ZONAL",
            deletion_protection=False,
            settings={
                "backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True},
                **(CONNECTORS_ONLY if by_connector else {}),
            },
            root_password=passwords[OPERATOR],
        )
    )
    for following in admin.operations.list(target.instance):
        # Its first backup, before which no moment can be recovered to.
        admin.wait(following)
    admin.wait(admin.databases.insert(target.instance, target.database))
    for user in (*API_USERS, JOBS_USER):
        admin.wait(admin.users.insert(target.instance, user, password=passwords[user]))
    server = _server(target, tools, by_connector=by_connector)

    def address(user: str) -> str:
        return server.set(username=user, password=passwords[user].get_secret_value()).render_as_string(
            hide_password=False
        )

    api = address(API_USERS[0])
    values = {
        **(_by_parts(target, passwords[API_USERS[0]]) if by_connector else {"DATABASE_URL": api}),
        "JOBS_DATABASE_URL": address(JOBS_USER),
        "MIGRATION_DATABASE_URL": address(OPERATOR),
        "DB_ROLE_MEMBERS": f"{APP_ROLE}={API_USERS[0]},{APP_ROLE}={API_USERS[1]},{JOBS_ROLE}={JOBS_USER}",
        "SECRET_KEY": secrets.token_urlsafe(32),
    }
    tools.secrets.add(target.logins[0].secret, SecretStr(api))
    tools.secrets.add(POINTER, SecretStr(admin.instances.get(target.instance).connection_name))
    _make_service(target, SERVICES[0])
    settings = runtime_settings(values)
    migrate(settings)
    engine = make_engine(settings, application_name="rehearsal", duty="jobs")
    ensure_partitions(engine)
    engine.dispose()
    engine = make_engine(settings, application_name="rehearsal", duty="migration")
    rows.fill(engine)
    engine.dispose()
    return Environment(target, values)


def _server(target: Target, tools: Tools, *, by_connector: bool) -> URL:
    there = tools.admin.instances.get(target.instance)
    if by_connector:
        return URL.create("postgresql", database=target.database, query={"host": SOCKETS + there.connection_name})
    host, port = tools.address(there)
    return URL.create("postgresql", host=host, port=port, database=target.database)


def _by_parts(target: Target, password: SecretStr) -> dict[str, str]:
    """The API's, as Cloud Run has them. A user of a sandbox copy of it has another CLOUD_SQL_ADMIN_ENDPOINT."""
    return {
        "GCP_SQL_INSTANCE": f"{target.project}:{target.region}:{target.instance}",
        "DB_NAME": target.database,
        "DB_USER": API_USERS[0],
        "DB_PASSWORD": password.get_secret_value(),
        "CLOUD_SQL_ADMIN_ENDPOINT": target.endpoints.sql or "",
    }


def _make_secret(target: Target, name: str) -> None:
    client = secretmanager_v1.SecretManagerServiceClient(**options(target.endpoints.secretmanager))
    automatic = secretmanager_v1.Replication(automatic=secretmanager_v1.Replication.Automatic())
    client.create_secret(
        parent=f"projects/{target.project}",
        secret_id=name.rpartition("/")[2],
        secret=secretmanager_v1.Secret(replication=automatic),
    )
    client.transport.close()  # type: ignore[no-untyped-call]  # Google's client leaves it untyped


def _make_service(target: Target, service: Service) -> None:
    """One that is told by a secret where the database is."""
    reference = run_v2.SecretKeySelector(secret=service.secret.rpartition("/")[2], version="latest")
    told = run_v2.EnvVar(name=POINTED, value_source=run_v2.EnvVarSource(secret_key_ref=reference))
    template = run_v2.RevisionTemplate(containers=[run_v2.Container(image="example.com/runtime", env=[told])])
    parent, _, name = (service.service or "").rpartition("/services/")
    client = run_v2.ServicesClient(**options(target.endpoints.run))
    making = client.create_service(parent=parent, service_id=name, service=run_v2.Service(template=template))
    making.result()  # type: ignore[no-untyped-call]  # Google's client leaves it untyped
    client.transport.close()  # type: ignore[no-untyped-call]  # likewise
