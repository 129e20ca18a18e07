"""The process behind `holdfast up`: it starts everything, watches it, and stops it in order."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from runbooks.local import database
from runbooks.local.api import ApiServer
from runbooks.local.binaries import postgres_programs, valkey_program
from runbooks.local.credentials import Credentials, load_or_make
from runbooks.local.environment import child_environment, write_env
from runbooks.local.errors import LocalPlatformError
from runbooks.local.folder import StateFolder
from runbooks.local.leftovers import end_leftovers
from runbooks.local.lock import LockHeldError, hold, holder, sign
from runbooks.local.ports import HOST, refuse_taken, remembered
from runbooks.local.postgres import PostgresServer
from runbooks.local.processes import MARK, Identity
from runbooks.local.provision import provision, runtime_values
from runbooks.local.record import Program, Record, read_record, write_record
from runbooks.local.signals import StopRequested, ignore_stop_requests, stop_requests
from runbooks.local.valkey import ValkeyServer, ensure_reachable

if TYPE_CHECKING:
    from runbooks.local.child import Child

WATCH_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    folder: StateFolder
    port: int
    postgres_programs: Path | None = None
    database_url: str | None = None
    redis_url: str | None = None


@dataclass(frozen=True)
class Addresses:
    """What the user gets."""

    api: str
    docs: str
    key: str
    database: str
    cache: str


def supervise(options: Options, *, announce: Callable[[Addresses], None], tell: Callable[[str], None]) -> None:
    """Run the platform until somebody asks to stop.

    Raises:
        LocalPlatformError: it does not start, it runs already, or a part of it ended on its own.
    """
    options.folder.make()
    os.umask(0o077)
    try:
        with stop_requests(), contextlib.suppress(StopRequested), hold(options.folder.lock) as lock:
            sign(lock)
            _Platform(options, tell).run(announce)
    except LockHeldError:
        raise LocalPlatformError(_runs_already(options.folder)) from None


def _runs_already(folder: StateFolder) -> str:
    identity, record = holder(folder.lock), read_record(folder)
    if identity is None:
        return f"another holdfast up or down is at work in {folder.path}; try again"
    where = f" at {record.api.url}" if record else " and is still starting"
    return f"it runs already{where} (pid {identity.pid}); stop it with: holdfast down"


class _Platform:
    """The parts, from the first started to the last stopped."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._options = options
        self._folder = options.folder
        self._tell = tell
        self._environment = {**os.environ, MARK: str(options.folder.path)}
        self._children: dict[str, Child] = {}

    def run(self, announce: Callable[[Addresses], None]) -> None:
        try:
            announce(self._start())
            self._watch()
        finally:
            ignore_stop_requests()
            self._tell("stopping")
            self._stop()

    def _start(self) -> Addresses:
        self._folder.check_space()
        end_leftovers(self._folder)
        refuse_taken(self._options.port)
        self._check_given_servers()
        credentials = load_or_make(self._folder)
        self._tell("starting PostgreSQL and Valkey")
        server, cache = self._start_database(credentials), self._start_cache(credentials)
        for child in self._children.values():
            child.wait_ready()
        self._tell("preparing the database")
        values = runtime_values(server=server, cache=cache, host=HOST, port=self._options.port, credentials=credentials)
        # What a command prints about its work is not the answer that programs read from standard output.
        with contextlib.redirect_stdout(sys.stderr):
            key = provision(server, values, credentials, self._folder)
        write_env(self._folder.env, values)
        self._tell("starting the API")
        api = self._start_api(values)
        addresses = Addresses(
            api=api.url, docs=f"{api.url}/docs", key=key, database=values["DATABASE_URL"], cache=cache
        )
        self._write_record(addresses)
        api.wait_ready()
        return addresses

    def _check_given_servers(self) -> None:
        if self._options.database_url:
            database.ensure_reachable(database.server_url(self._options.database_url))
        if self._options.redis_url:
            ensure_reachable(self._options.redis_url)

    def _start_database(self, credentials: Credentials) -> URL:
        if self._options.database_url:
            return database.server_url(self._options.database_url)
        server = PostgresServer(
            programs=postgres_programs(self._options.postgres_programs),
            data=self._folder.postgres,
            log=self._folder.log("postgres"),
            port=remembered(self._folder.ports, "postgres"),
            password=credentials.superuser_password,
        )
        server.init()
        self._children["database"] = server
        server.start(self._environment)
        return server.url.set(database=database.DATABASE)

    def _start_cache(self, credentials: Credentials) -> str:
        if self._options.redis_url:
            return self._options.redis_url
        server = ValkeyServer(
            program=valkey_program(),
            folder=self._folder.valkey,
            log=self._folder.log("valkey"),
            port=remembered(self._folder.ports, "valkey"),
            password=credentials.cache_password,
        )
        self._children["cache"] = server
        server.start(self._environment)
        return server.url

    def _start_api(self, values: Mapping[str, str]) -> ApiServer:
        server = ApiServer(log=self._folder.log("api"), port=self._options.port)
        self._children["api"] = server
        # In the state folder: settings files in the user's working directory are not for this API.
        server.start(child_environment(self._environment, values), self._folder.path)
        return server

    def _write_record(self, addresses: Addresses) -> None:
        def program(part: str, url: str) -> Program:
            pid = self._children[part].pid if part in self._children else None
            return Program(url=url, process=Identity.of(pid) if pid else None)

        write_record(
            self._folder,
            Record(
                api=program("api", addresses.api),
                database=program("database", addresses.database),
                cache=program("cache", addresses.cache),
            ),
        )

    def _watch(self) -> None:
        while True:
            for child in self._children.values():
                if child.exit_code is not None:
                    message = f"{child.name} ended on its own: {child.last_words()} (more in {child.log})"
                    raise LocalPlatformError(message)
            time.sleep(WATCH_SECONDS)

    def _stop(self) -> None:
        for child in reversed(self._children.values()):
            child.stop()
        # Also what a child left, such as workers of an API that was killed.
        end_leftovers(self._folder)
