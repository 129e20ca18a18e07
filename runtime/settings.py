"""The environment, read once and checked: the only place that looks at it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from runtime.errors import ConfigurationError
from runtime.platform.providers import OidcProvider, is_trustworthy

OWNER_ROLE = "holdfast_owner"
APP_ROLE = "holdfast_app"
JOBS_ROLE = "holdfast_jobs"
READONLY_ROLE = "holdfast_readonly"
GROUP_ROLES = (APP_ROLE, JOBS_ROLE, READONLY_ROLE)
# What a login may become a member of: an operator's, of the owner.
MEMBER_ROLES = (OWNER_ROLE, *GROUP_ROLES)
MOST_WORKERS = 64
# By which of its addresses a Cloud SQL instance is reached: in the network, or through Private Service Connect.
IpType = Literal["private", "psc"]
# Of a Cloud SQL instance: PROJECT:REGION:INSTANCE; an old project has a domain before it.
CONNECTION_NAME = r"^[^:\s]+(:[^:\s]+)?:[^:\s]+:[^:\s]+$"


def _postgres_url(value: SecretStr) -> SecretStr:
    # The messages must not repeat the value: it holds a password.
    try:
        url = make_url(value.get_secret_value())
    except (ArgumentError, ValueError):
        # ValueError: a port that is no number, and may be a password whose user is missing.
        message = "is not a URL; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(message) from None
    if url.drivername.partition("+")[0] not in {"postgresql", "postgres"}:
        message = f"starts with {url.drivername!r}; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(message)
    if not url.database:
        message = "names no database; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(message)
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    message = "is not a URL; write redis://HOST:PORT or, with TLS, rediss://HOST:PORT"
    try:
        url = urlsplit(value.get_secret_value())
        is_complete = url.scheme in {"redis", "rediss"} and bool(url.hostname) and url.port != 0
    except ValueError:
        # Its words repeat a port that is no number, and may be a password.
        raise ValueError(message) from None
    if not is_complete:
        raise ValueError(message)
    return value


def _endpoint(value: str) -> str:
    value = value.removesuffix("/")
    if not is_trustworthy(value) or value != "{0.scheme}://{0.netloc}".format(urlsplit(value)):
        message = "write https://HOST, without a path; http://HOST:PORT is for loopback addresses only"
        raise ValueError(message)
    return value


def _address(value: str) -> str:
    value = value.removesuffix("/")
    if not is_trustworthy(value):
        message = "write https://HOST; http://HOST:PORT is for loopback addresses only"
        raise ValueError(message)
    return value


def _local_port(value: str) -> str:
    # Of plain http, only this machine's addresses are trustworthy.
    url = f"http://{value}"
    try:
        is_right = is_trustworthy(url) and url == f"http://{urlsplit(url).netloc}" and urlsplit(url).port is not None
    except ValueError:
        is_right = False
    if not is_right:
        message = "write HOST:PORT of this machine, as 127.0.0.1:9001; without it Google's is used"
        raise ValueError(message)
    return value


def _archive_url(value: str) -> str:
    if value.partition("://")[0] not in {"gs", "s3", "file"}:
        message = "write gs://BUCKET, s3://BUCKET or file:///FOLDER"
        raise ValueError(message)
    return value


def _split(value: object) -> object:
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _origin(value: str) -> str:
    if "*" in value:
        message = "'*' would let sites of others call the API; name each site: https://app.example,…"
        raise ValueError(message)
    try:
        url = urlsplit(value)
        is_origin = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_origin = False
    # A browser sends it in small letters, with nothing after host and port.
    if not is_origin or "@" in value or value != f"{url.scheme}://{url.netloc}".lower():
        message = "write an origin as a browser does: https://app.example or http://localhost:3000"
        raise ValueError(message)
    return value


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        message = 'is not JSON; write [{"issuer": "https://…", "audience": "…", "scopes": ["…"]}]'
        raise ValueError(message) from None


def _once(providers: tuple[OidcProvider, ...]) -> tuple[OidcProvider, ...]:
    issuers = [provider.issuer for provider in providers]
    if twice := sorted({issuer for issuer in issuers if issuers.count(issuer) > 1}):
        message = f"{', '.join(twice)} is there twice; make it one entry"
        raise ValueError(message)
    return providers


def _minimums(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    if not all(name and count.isascii() and count.isdigit() for name, _, count in pairs):
        message = "write TABLE=ROWS,… with whole numbers"
        raise ValueError(message)
    return {name: int(count) for name, _, count in pairs}


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]
SecretId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
OidcProviders = Annotated[tuple[OidcProvider, ...], NoDecode, BeforeValidator(_json), AfterValidator(_once)]


class Settings(BaseSettings):
    """What every command needs. Names are the environment's, in lower case.

    Besides the environment, `.holdfast/env` (written by `holdfast up`) and `.env` are read from the
    working directory; the environment wins.
    """

    model_config = SettingsConfigDict(
        env_file=(".holdfast/env", ".env"),
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    # Where the database is: one of DATABASE_URL, GCP_SQL_INSTANCE, DB_HOST.
    database_url: PostgresUrl | None = None
    gcp_sql_instance: str | None = Field(default=None, pattern=CONNECTION_NAME)
    gcp_sql_ip_type: IpType = "private"
    # Of the Cloud SQL Admin API, if it is not Google's.
    cloud_sql_admin_endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    db_host: str | None = None
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: str = "holdfast"
    db_user: str | None = None
    db_password: SecretStr | None = None
    migration_database_url: PostgresUrl | None = None
    jobs_database_url: PostgresUrl | None = None
    db_role_members: Annotated[Mapping[str, tuple[str, ...]], NoDecode] = Field(default_factory=dict)

    # Connections of one instance, split over its workers.
    db_pool_min: int = Field(default=10, ge=1)
    db_pool_max: int = Field(default=30, ge=1)
    db_pool_timeout: float = Field(default=30, gt=0, le=300)
    db_pool_recycle: float = Field(default=3600, gt=0)

    # Whose newest backup is verified, if it is not GCP_SQL_INSTANCE's; and what is then expected of it.
    verify_sql_instance: str | None = Field(default=None, pattern=CONNECTION_NAME)
    verify_stale_hours: float = Field(default=28, gt=0)
    verify_rto_seconds: float = Field(default=3600, gt=0)
    verify_volume_drift: float = Field(default=0.1, ge=0, lt=1)
    verify_minimum_rows: Annotated[Mapping[str, int], NoDecode, BeforeValidator(_minimums)] = Field(
        default_factory=dict
    )

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = None
    archive_url: Annotated[str, AfterValidator(_archive_url)] | None = None

    # The project that is published to, and whose traces the log's lines belong to.
    google_cloud_project: str | None = Field(default=None, pattern=r"^[a-z0-9:.-]+$")
    google_cloud_region: str = Field(default="global", pattern=r"^[a-z0-9-]+$")
    # Cloud Run says it of a service: what its metrics are told apart by.
    k_service: str = Field(default="holdfast", max_length=100)
    # One of the instances that serve at once.
    metrics_instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    # HOST:PORT on this machine of what stands in for Cloud Monitoring.
    cloud_monitoring_endpoint: Annotated[str, AfterValidator(_local_port)] | None = None
    # Of Secret Manager, if it is not Google's.
    secret_manager_endpoint: Annotated[str, AfterValidator(_address)] | None = None
    # Which secrets are to be replaced, and after how many days.
    rotated_secrets: Annotated[tuple[SecretId, ...], NoDecode, BeforeValidator(_split)] = Field(default_factory=tuple)
    secret_rotation_days: float = Field(default=90, gt=0)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    debug: bool = False
    request_timeout: float = Field(default=30, ge=0.1, le=300)

    @model_validator(mode="before")
    @classmethod
    def _split_role_members(cls, values: dict[str, object]) -> dict[str, object]:
        text = values.get("db_role_members")
        if not isinstance(text, str):
            return values
        members: dict[str, tuple[str, ...]] = {}
        for item in filter(None, (part.strip() for part in text.split(","))):
            role, _, user = item.partition("=")
            if role not in MEMBER_ROLES or not user:
                message = f"DB_ROLE_MEMBERS: write ROLE=USER,… with ROLE one of {', '.join(MEMBER_ROLES)}"
                raise ValueError(message)
            members[role] = (*members.get(role, ()), user)
        return {**values, "db_role_members": members}

    @model_validator(mode="after")
    def _one_database(self) -> Self:
        named = [name for name in ("database_url", "gcp_sql_instance", "db_host") if getattr(self, name) is not None]
        if not named:
            message = "DATABASE_URL: not set; set it, or DB_HOST and DB_USER, or GCP_SQL_INSTANCE and DB_USER"
            raise ValueError(message)
        if len(named) > 1:
            first, second = (name.upper() for name in named[:2])
            message = f"{second}: set together with {first}; keep the one that says where the database is"
            raise ValueError(message)
        if self.database_url is None and self.db_user is None:
            message = f"DB_USER: not set, and {named[0].upper()} needs it"
            raise ValueError(message)
        if self.db_pool_min > self.db_pool_max:
            message = f"DB_POOL_MIN: {self.db_pool_min} is more than DB_POOL_MAX, {self.db_pool_max}"
            raise ValueError(message)
        return self

    @property
    def url(self) -> URL:
        """Where the database is, as libpq understands it, driver not chosen.

        A Cloud SQL instance is the Auth Proxy's socket, which need not be there; asyncpg uses the connector instead.
        """
        if self.database_url is not None:
            return make_url(self.database_url.get_secret_value()).set(drivername="postgresql")
        host = f"/cloudsql/{self.gcp_sql_instance}" if self.gcp_sql_instance else self.db_host or ""
        # The port is part of a socket's name; the Auth Proxy's is always the default's.
        port = 5432 if self.gcp_sql_instance else self.db_port
        is_socket = host.startswith("/")
        return URL.create(
            "postgresql",
            username=self.db_user,
            password=self.db_password.get_secret_value() if self.db_password else None,
            host=None if is_socket else host,
            port=None if is_socket else port,
            database=self.db_name,
            query={"host": host, "port": str(port)} if is_socket else {},
        )

    def url_for(self, duty: Literal["migration", "jobs"]) -> URL:
        """The address with another user's credentials where one is given for the duty.

        One without a host is GCP_SQL_INSTANCE's, so that only that has to change with the instance.
        """
        given = self.migration_database_url if duty == "migration" else self.jobs_database_url
        if given is None:
            return self.url
        url = make_url(given.get_secret_value()).set(drivername="postgresql")
        if self.gcp_sql_instance is None or url.host or "host" in url.query:
            return url
        return url.update_query_dict(self.url.query)

    @property
    def verified_instance(self) -> tuple[str, str]:
        """Project and name of the instance whose backups are verified.

        Raises:
            ConfigurationError: no setting names it.
        """
        named = self.verify_sql_instance or self.gcp_sql_instance
        if named is None:
            message = "VERIFY_SQL_INSTANCE: not set, and neither is GCP_SQL_INSTANCE; write PROJECT:REGION:INSTANCE"
            raise ConfigurationError(message)
        project, _region, name = named.rsplit(":", 2)
        return project, name

    @property
    def uses_iam_authentication(self) -> bool:
        """Whether the database is asked in with an access token: a Cloud SQL instance without a password."""
        return self.gcp_sql_instance is not None and self.db_password is None


class ApiSettings(Settings):
    """What the API and the key commands need besides."""

    # Keys the stored digests of API keys, and signs cursors.
    secret_key: SecretStr = Field(min_length=32)
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    # One worker a core, as far as the connections reach.
    max_workers: int = Field(
        default_factory=lambda: min(len(os.sched_getaffinity(0)), MOST_WORKERS), ge=1, le=MOST_WORKERS
    )

    # Requests that a principal may make in a window of so many seconds, over all workers; 0 for no limit.
    rate_limit: int = Field(default=6000, ge=0, lt=10**15)
    rate_limit_window: int = Field(default=60, ge=1, le=3600)
    # Whose bearer tokens are believed; without one, none are.
    oidc_providers: OidcProviders = Field(default_factory=tuple)
    # Fits a batch of 10,000 measurements with 1,600 bytes each.
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, le=1024**3)
    # Sites whose pages may call the API from a browser; by default none.
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...] | None, NoDecode, BeforeValidator(_split)
    ] = None

    # Where the workers of one instance leave their figures for each other.
    metrics_dir: Path | None = None

    @model_validator(mode="after")
    def _a_connection_for_each_worker(self) -> Self:
        if "max_workers" not in self.model_fields_set:
            self.max_workers = min(self.max_workers, self.db_pool_max)
        if self.max_workers > self.db_pool_max:
            message = f"MAX_WORKERS: {self.max_workers} workers cannot share DB_POOL_MAX, {self.db_pool_max}"
            raise ValueError(message)
        return self


S = TypeVar("S", bound=Settings)


@contextmanager
def handed_down(name: str, value: str) -> Iterator[None]:
    """Give a setting to the processes that this one starts."""
    os.environ[name.upper()] = value
    try:
        yield
    finally:
        del os.environ[name.upper()]


def load(kind: type[S]) -> S:
    """Read the settings.

    Raises:
        ConfigurationError: one line a wrong or missing setting, naming it, without its value.
    """
    try:
        return kind()
    except ValidationError as error:
        lines = [_line(*detail) for detail in ((e["loc"], e["type"], e["msg"]) for e in error.errors())]
        raise ConfigurationError("\n".join(lines)) from None


def _line(location: tuple[int | str, ...], kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    if kind == "missing":
        message = "not set, and it has no default"
    name, *place = map(str, location)
    # A part of an entry is named by its path; an entry of a list says itself what is wrong with it.
    path = f"{'.'.join(place)}: " if len(place) > 1 else ""
    return f"{name.upper()}: {path}{message}"
