"""The services beside Cloud SQL: where each is, and all of them while they run."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from runbooks.local.ports import HOST
from runbooks.sandbox import storage
from runbooks.sandbox.faults import Faults
from runbooks.sandbox.services import memorystore, run, scheduler, secret_manager
from runbooks.sandbox.services.issuer import Issuer
from runbooks.sandbox.services.monitoring import MonitoringServer
from runbooks.sandbox.store import Store

# Each is served below a path of this name.
REST = ("secretmanager", "cloudscheduler", "run", "redis")
ISSUER = "issuer"
STORAGE = "storage"
ACCOUNT = "storage-account.json"


@dataclass(frozen=True)
class Cloud:
    """The services, and where clients find all that there is."""

    apps: Mapping[str, ASGIApp]
    endpoints: Mapping[str, str]


@contextmanager
def services(folder: Path, store: Store, faults: Faults, *, url: str, monitoring_port: int) -> Iterator[Cloud]:
    """The services beside Cloud SQL while they run.

    Args:
        folder: the state folder.
        store: what is kept in it.
        faults: those in force.
        url: where this sandbox is served.
        monitoring_port: of Monitoring, which speaks gRPC; 0 for any that is free.

    Raises:
        SandboxError: the port is taken.
        LocalPlatformError: a cache that was there does not start.
    """
    places = {name: f"{url}/{name}" for name in (*REST, STORAGE, ISSUER)}
    # A job's target in the cloud is here.
    standing = {f"https://{name}.googleapis.com": places[name] for name in (*REST, STORAGE)}
    standing["https://sqladmin.googleapis.com"] = url
    issuer = Issuer(store, places[ISSUER])
    objects = storage.app(folder / STORAGE, faults)
    # In the order of their starts. They end the other way round: who calls others ends before those do.
    apps = {
        STORAGE: objects,
        "redis": memorystore.app(store, folder / "redis", faults),
        "secretmanager": secret_manager.app(store, faults),
        "run": run.app(store, folder / "run", faults),
        "cloudscheduler": scheduler.app(store, issuer, standing, faults),
        ISSUER: issuer.app(),
    }
    account = folder / ACCOUNT
    storage.write_service_account(account, places[STORAGE])
    with ExitStack() as running:
        portal = running.enter_context(start_blocking_portal())
        for app in apps.values():
            running.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
        monitoring = MonitoringServer(store, monitoring_port, faults=faults)
        monitoring.start()
        running.callback(monitoring.stop)
        endpoints = {
            "sql": url,
            **places,
            "monitoring": f"{HOST}:{monitoring.port}",
            "storage_account": str(account),
            "state": str(folder),
        }
        yield Cloud(apps, endpoints)


def below(root: Starlette, apps: Mapping[str, ASGIApp]) -> ASGIApp:
    """One application: each of these below the path of its name, and the root for all else."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        # By hand: a route's pattern does not fit every name of an object.
        name = scope["path"].removeprefix("/").partition("/")[0]
        app = apps.get(name)
        if app is None:
            await root(scope, receive, send)
        else:
            await app({**scope, "root_path": f"{scope.get('root_path', '')}/{name}"}, receive, send)

    return dispatch
