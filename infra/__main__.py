"""The program: what an environment is made of, in reading order."""

import pulumi
import pulumi_gcp as gcp
from pulumi.runtime import config as pulumi_config

from infra import config, outputs
from infra.components.analytics import Analytics, AnalyticsArgs
from infra.components.api import Api, ApiArgs
from infra.components.audit import Audit, AuditArgs
from infra.components.bastion import Bastion, BastionArgs
from infra.components.budget import Budget, BudgetArgs
from infra.components.cache import Cache, CacheArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.database_users import DatabaseUsers, DatabaseUsersArgs
from infra.components.encryption import Encryption, Purpose
from infra.components.endpoint_policies import EndpointPolicies, EndpointPoliciesArgs
from infra.components.identity import Identity
from infra.components.instance_pointer import InstancePointer, InstancePointerArgs
from infra.components.jobs import Jobs, JobsArgs
from infra.components.load_balancer import LoadBalancer, LoadBalancerArgs
from infra.components.migration import Migration, MigrationArgs
from infra.components.monitoring.monitoring import Monitoring, MonitoringArgs
from infra.components.network import Network
from infra.components.project_services import ProjectServices
from infra.components.read_pool import ReadPool, ReadPoolArgs
from infra.components.readers import Readers, ReadersArgs
from infra.components.registry import Registry, RegistryArgs
from infra.components.replica import Replica, ReplicaArgs
from infra.components.schedule import Schedule, ScheduleArgs
from infra.components.secret_key import SecretKey, SecretKeyArgs
from infra.components.secret_store import SecretStore, SecretStoreArgs
from infra.components.storage import Storage, StorageArgs
from infra.duties import Duty
from infra.environment import Environment
from infra.errors import ConfigError
from infra.runtime_environment import RuntimeEnvironment
from infra.workload import WorkloadArgs

try:
    # Whatever is wrong is said before anything is registered.
    settings = config.load(pulumi_config.CONFIG.get() or pulumi_config.get_config_env())
except ConfigError as error:
    # Pulumi shows its text alone, without a traceback.
    raise pulumi.RunError(str(error)) from error
env = Environment(pulumi.get_stack(), settings)

# The APIs, and all else after them.
first = gcp.Provider("services", gcp.ProviderArgs(project=settings.project, region=settings.region))
services = ProjectServices(env, pulumi.ResourceOptions(provider=first))
google = pulumi.ResourceOptions(
    provider=gcp.Provider(
        "google",
        gcp.ProviderArgs(
            project=settings.project,
            region=settings.region,
            default_labels=env.labels,
            # Without a project to count requests on, Billing refuses whoever comes with a login of their own.
            user_project_override=True,
            billing_project=settings.project,
        ),
        pulumi.ResourceOptions(depends_on=services),
    )
)

# Who, where, and with which keys.
network = Network(env, google)
identity = Identity(env, google)
encryption = Encryption(env, google)
store = SecretStore(env, SecretStoreArgs(encryption), google)

# What is kept.
secret_key = SecretKey(env, SecretKeyArgs(store, identity), google)
storage = Storage(env, StorageArgs(encryption, identity), google)
endpoints = EndpointPolicies(env, EndpointPoliciesArgs(network), google) if network.endpoint_subnets else None
database = Database(env, DatabaseArgs(network, encryption, endpoints), google)
users = DatabaseUsers(env, DatabaseUsersArgs(database, identity, store), google)
pointer = InstancePointer(env, InstancePointerArgs(database, identity, store), google)
replica = Replica(env, ReplicaArgs(database, network, encryption), google) if settings.database.dr_replica else None
read_pool = (
    ReadPool(env, ReadPoolArgs(database, network, encryption), google) if settings.database.read_pool_nodes else None
)
cache = Cache(env, CacheArgs(network, encryption, store, {Duty.API: identity.member(Duty.API)}), google)
if settings.access.bastion:
    Bastion(env, BastionArgs(network), google)

# What runs, once there is an image of it.
registry = Registry(env, RegistryArgs(encryption), google)
api: Api | None = None
balancer: LoadBalancer | None = None
started: dict[str, pulumi.Output[str]] = {}
readers: Readers | None = None
if settings.service.image is not None:
    told = RuntimeEnvironment(env, identity, pointer, users, cache, storage, secret_key)
    workload = WorkloadArgs(told, identity, network, encryption)
    migration = Migration(env, MigrationArgs(workload), google)
    readers = Readers(env, ReadersArgs(database, store, identity, [migration.job]), google)
    api = Api(env, ApiArgs(workload, migration), google)
    jobs = Jobs(env, JobsArgs(workload, migration), google)
    started = {"migrate": migration.job.name, **{name: job.name for name, job in jobs.jobs.items()}}
    Schedule(env, ScheduleArgs(identity, jobs, api), google)
    if settings.service.load_balancer and settings.service.domain is not None:
        balancer = LoadBalancer(env, LoadBalancerArgs(api, settings.service.domain), google)

# What is looked at, and kept for those who ask later.
replicas = {"replica": replica, "read-pool": read_pool}
monitoring = Monitoring(
    env,
    MonitoringArgs(
        database=database.instance.name,
        cache=cache.instance.id,
        replicas={part: one.instance.name for part, one in replicas.items() if one is not None},
        service=api.service.name if api else None,
        url=api.url if api else None,
        url_map=balancer.url_map if balancer else None,
        jobs=started,
    ),
    google,
)
Audit(env, AuditArgs(encryption.key(Purpose.LOGS)), google)
if settings.analytics:
    Analytics(env, AnalyticsArgs(storage, encryption), google)
if settings.budget.billing_account is not None:
    Budget(env, BudgetArgs(settings.budget.billing_account, monitoring.channels.names), google)

outputs.export(
    env,
    database=database,
    users=users,
    pointer=pointer,
    replica=replica,
    readers=readers,
    registry=registry,
    api=api,
    balancer=balancer,
)
