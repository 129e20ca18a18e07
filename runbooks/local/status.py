"""`holdfast status`: what runs, and whether it answers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg2
import redis
from sqlalchemy import make_url

from runbooks.local import database, valkey
from runbooks.local.api import readiness
from runbooks.local.folder import StateFolder
from runbooks.local.leftovers import find_leftovers
from runbooks.local.lock import holder
from runbooks.local.record import Program, read_record
from runtime.errors import first_line

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Part:
    """One part of the platform as it is now."""

    url: str | None
    pid: int | None
    healthy: bool
    detail: str


@dataclass(frozen=True)
class Status:
    """The whole platform as it is now."""

    running: bool
    api: Part
    database: Part
    cache: Part

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and every part answers."""
        return self.running and self.api.healthy and self.database.healthy and self.cache.healthy


def status(folder: StateFolder) -> Status:
    """Look at every part; nothing is changed."""
    record, running = read_record(folder), holder(folder.lock) is not None
    if record is None:
        part = Part(None, None, healthy=False, detail=_without_record(folder, running=running))
        return Status(running, part, part, part)
    return Status(
        running,
        _look(record.api, _ask_api, running=running),
        _look(record.database, _ask_database, running=running),
        _look(record.cache, _ask_cache, running=running),
    )


def _without_record(folder: StateFolder, *, running: bool) -> str:
    if running:
        return "starting"
    if folder.lock.exists() and len(find_leftovers(folder)):
        return "not running, but processes are left; holdfast down ends them"
    return "not running"


def _look(program: Program, ask: Callable[[str], str | None], *, running: bool) -> Part:
    url = masked(program.url)
    process = program.process.find() if program.process else None
    if program.process is not None and process is None:
        return Part(url, None, healthy=False, detail="its process has ended")
    pid = process.pid if process else None
    complaint = ask(program.url)
    if not running and process is not None:
        complaint = "its supervisor was killed; holdfast up or holdfast down cleans up"
    return Part(url, pid, healthy=complaint is None, detail=complaint or "answers")


def masked(url: str) -> str:
    """An address without its password."""
    return make_url(url).render_as_string(hide_password=True)


def _ask_api(url: str) -> str | None:
    ready, words = readiness(urlsplit(url).port or 80)
    return None if ready else f"not ready: {_short(words)}"


def _ask_database(url: str) -> str | None:
    try:
        database.check(make_url(url))
    except psycopg2.Error as error:
        return first_line(error)
    return None


def _ask_cache(url: str) -> str | None:
    try:
        valkey.ping(url, seconds=CONNECT_SECONDS)
    except (redis.RedisError, OSError) as error:
        return first_line(error)
    return None


def _short(words: str) -> str:
    # The API answers with a JSON document; a person gets it on one line.
    try:
        return json.dumps(json.loads(words))
    except ValueError:
        return words
