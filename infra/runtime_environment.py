"""What the runtime is told: the environment of the service and of each job.

The names are those of the runtime's settings, and tests/contract/test_settings.py holds them together.
"""

from dataclasses import dataclass

import pulumi

from infra import logins
from infra.components.cache import Cache
from infra.components.database_users import DatabaseUsers
from infra.components.identity import Identity
from infra.components.instance_pointer import InstancePointer
from infra.components.secret_key import SecretKey
from infra.components.storage import Storage
from infra.components.stored_secret import StoredSecret
from infra.duties import Duty
from infra.environment import Environment
from infra.sections.service import GOOGLE

PORT = 8080
# All that the schedule asks of the API.
SCHEDULE_SCOPES = ("platform:write",)
IP_TYPES = {"PRIVATE_SERVICES_ACCESS": "private", "PRIVATE_SERVICE_CONNECT": "psc"}
READER_SECRET = "reader-url"  # noqa: S105  # its name
# Of the jobs that do not have the usual one.
DUTIES = {"migrate": Duty.MIGRATE, "verify_backup": Duty.VERIFY}


@dataclass(frozen=True)
class Variable:
    """One setting: a value, or a secret whose newest version is read when an instance starts."""

    name: str
    value: pulumi.Input[str] | None = None
    secret: StoredSecret | None = None


def duty_of(job: str) -> Duty:
    """Whose service account a job has, by its name in the settings."""
    return DUTIES.get(job, Duty.JOBS)


def audience(env: Environment) -> str:
    """Whom the schedule's tokens are for. It is known before the service has an address, which is told of it."""
    config = env.config
    return f"//run.googleapis.com/projects/{config.project}/locations/{config.region}/services/{env.name('api')}"


@dataclass(frozen=True)
class RuntimeEnvironment:
    """What the runtime is told.

    Args:
        env: the environment.
        identity: who it is.
        pointer: to the database where it keeps what it keeps.
        users: the logins of those who have a password.
        cache: which the service asks first.
        storage: where archives go.
        secret_key: what the service signs with.
    """

    env: Environment
    identity: Identity
    pointer: InstancePointer
    users: DatabaseUsers
    cache: Cache
    storage: Storage
    secret_key: SecretKey

    @property
    def authority(self) -> StoredSecret:
        """Whose certificates the service believes of the cache: a file, not a variable."""
        return self.cache.authority

    def of_service(self) -> tuple[Variable, ...]:
        """What the API is told."""
        service = self.env.config.service
        return (
            *self._database(Duty.API),
            Variable("DB_POOL_MIN", str(service.pool_min)),
            Variable("DB_POOL_MAX", str(service.pool_max)),
            Variable("MAX_WORKERS", str(service.workers)),
            Variable("REQUEST_TIMEOUT", str(service.request_timeout_seconds)),
            Variable("API_HOST", "0.0.0.0"),  # noqa: S104  # the container's own, behind Cloud Run
            Variable("API_PORT", str(PORT)),
            *self._place(),
            Variable("ARCHIVE_URL", self.storage.archive.name.apply("gs://{}".format)),
            Variable("OIDC_PROVIDERS", self._providers()),
            *([Variable("CORS_ORIGINS", ",".join(service.cors_origins))] if service.cors_origins else ()),
            Variable("SECRET_KEY", secret=self.secret_key.secret),
            Variable("REDIS_URL", secret=self.cache.url),
        )

    def of_job(self, job: str) -> tuple[Variable, ...]:
        """What a job is told, by its name in the settings."""
        duty = duty_of(job)
        if duty is Duty.MIGRATE:
            return (
                *self._database(duty, logins.MIGRATOR),
                Variable("MIGRATION_DATABASE_URL", secret=self.users.migrator_url),
                Variable("DB_ROLE_MEMBERS", self.users.role_members),
            )
        if duty is Duty.VERIFY:
            return (
                *self._database(duty),
                # A restored instance is looked at with a login which may look at everything.
                Variable("MIGRATION_DATABASE_URL", secret=self.users.verifier_url),
                self._stale_hours(),
            )
        if job == "publish_metrics":
            return (
                *self._database(duty),
                *self._place(),
                self._stale_hours(),
                Variable("ROTATED_SECRETS", self._rotated()),
                Variable("SECRET_ROTATION_DAYS", str(self.env.config.secrets.rotation_days)),
            )
        return self._database(duty)

    def _database(self, duty: Duty, user: str | None = None) -> tuple[Variable, ...]:
        """Where the database is, and as whom it is come into."""
        return (
            Variable("GCP_SQL_INSTANCE", secret=self.pointer.secret),
            Variable("GCP_SQL_IP_TYPE", IP_TYPES[self.env.config.database.connectivity]),
            Variable("DB_NAME", self.env.config.database.name),
            Variable("DB_USER", user or self.identity.database_user(duty)),
        )

    def _place(self) -> tuple[Variable, ...]:
        """Whose metrics it writes, and where from."""
        config = self.env.config
        return (
            Variable("GOOGLE_CLOUD_PROJECT", config.project),
            Variable("GOOGLE_CLOUD_REGION", config.region),
        )

    def _stale_hours(self) -> Variable:
        return Variable("VERIFY_STALE_HOURS", str(self.env.config.monitoring.alerts.backup_age_hours))

    def _rotated(self) -> pulumi.Output[str]:
        """The secrets that somebody has to replace now and then."""
        users = self.users
        known = (users.operator_password, users.migrator_url, users.verifier_url, self.cache.url)
        ids = pulumi.Output.all(*(one.secret.secret_id for one in known))
        # The readers come after the migration, which comes after this.
        return ids.apply(lambda found: ",".join([*found, self.env.name(READER_SECRET)]))

    def _providers(self) -> pulumi.Output[str]:
        """Who may come with a token: the schedule, for what it does, and the users of the issuers that are named."""
        email = self.identity.email(Duty.SCHEDULE)
        provider = {
            "issuer": GOOGLE,
            "audience": audience(self.env),
            "emails": email.apply(lambda known: {known: list(SCHEDULE_SCOPES)}),
        }
        others = [one.model_dump(mode="json") for one in self.env.config.service.token_issuers]
        return pulumi.Output.json_dumps([provider, *others])
