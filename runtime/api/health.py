"""`/health/live`, `/health/ready`: open, and without secrets."""

import asyncio
from typing import Literal

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy import column, select, table

from runtime.api.context import database, json_response
from runtime.cache.cache import Cache
from runtime.db.query import Query
from runtime.db.release import schema_revision
from runtime.fields import Output
from runtime.problems import documented_answer

router = APIRouter(prefix="/health", tags=["health"])

DEADLINE = 3.0
_REVISION = Query(select(column("version_num")).select_from(table("alembic_version")))


class Dependency(Output):
    """One thing that the platform leans on."""

    ok: bool
    detail: str = Field(examples=["answers"])


class Liveness(Output):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Output):
    """Each dependency by name. `degraded`: answers come, without the cache."""

    status: Literal["ok", "degraded", "unavailable"]
    database: Dependency
    db_schema: Dependency = Field(alias="schema", description="Whether the schema is at the release's head revision.")
    cache: Dependency


_READY = {
    "status": "degraded",
    "database": {"ok": True, "detail": "answers"},
    "schema": {"ok": True, "detail": "at 0004"},
    "cache": {"ok": False, "detail": "not configured; answers come from the database"},
}
_NOT_READY = {
    **_READY,
    "status": "unavailable",
    "database": {"ok": False, "detail": "does not answer (ConnectionRefusedError)"},
    "schema": {"ok": False, "detail": "unknown while the database does not answer"},
}


@router.get("/live", responses={200: documented_answer(Liveness, {"status": "ok"})})
async def live() -> Response:
    """Say that the process answers."""
    return json_response(b'{"status":"ok"}')


@router.get(
    "/ready",
    responses={200: documented_answer(Readiness, _READY), 503: documented_answer(Readiness, _NOT_READY)},
)
async def ready(request: Request) -> Response:
    """Ask each dependency, with a deadline."""
    (db, schema), cache = await asyncio.gather(_database(request), _cache(request.app.state.cache))
    able = db.ok and schema.ok
    state: Literal["ok", "degraded", "unavailable"] = "unavailable" if not able else "ok" if cache.ok else "degraded"
    body = Readiness(status=state, database=db, schema=schema, cache=cache)
    response = json_response(body.model_dump_json(by_alias=True).encode(), 200 if able else 503)
    if not able:
        response.headers["Retry-After"] = "5"
    return response


async def _database(request: Request) -> tuple[Dependency, Dependency]:
    head = schema_revision()
    try:
        async with asyncio.timeout(DEADLINE):
            revision = await database(request).value(_REVISION)
    except asyncpg.UndefinedTableError:
        return (
            Dependency(ok=True, detail="answers"),
            Dependency(ok=False, detail=f"is empty, the release needs {head}: python -m runtime migrate"),
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        down = Dependency(ok=False, detail=f"does not answer ({type(error).__name__})")
        return down, Dependency(ok=False, detail="unknown while the database does not answer")
    detail = (
        f"at {revision}" if revision == head else f"at {revision}, the release needs {head}: python -m runtime migrate"
    )
    return Dependency(ok=True, detail="answers"), Dependency(ok=revision == head, detail=detail)


async def _cache(cache: Cache) -> Dependency:
    problem = await cache.ping(DEADLINE)
    return Dependency(ok=problem is None, detail=problem or "answers")
