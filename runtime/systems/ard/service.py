"""ARD's experiments and campaigns. Functions take a transaction to write in, and never commit it."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, String, and_, bindparam, case, func, null, or_, select, update

from runtime.db.base import Base
from runtime.db.documents import Document, find, version_of
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import Query, json_object
from runtime.db.writes import Writes
from runtime.problems import IllegalTransition, NotFound, PreconditionFailed
from runtime.systems.ard import schemas, views
from runtime.systems.ard.models import Experiment, OptimizationRun
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, Objective

Status = ExperimentStatus
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status),
    Status.RUNNING: frozenset(Status) - {Status.PENDING},
    # What has ended stays as it ended; its results can still be corrected.
    Status.COMPLETED: frozenset({Status.COMPLETED}),
    Status.FAILED: frozenset({Status.FAILED}),
    Status.CANCELLED: frozenset({Status.CANCELLED}),
}


def _moments(started: Any, ended: Any) -> Mapping[str, Mapping[str, ColumnElement[Any]]]:
    """started_at and completed_at as they follow from the new status, given what they were."""
    status = bindparam("status", type_=String)
    has_started = or_(*[status == value for value in (Status.RUNNING, Status.COMPLETED, Status.FAILED)])
    has_ended = or_(*[status == value for value in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)])
    return {
        "status": {
            "started_at": case((has_started, func.coalesce(started, func.now())), else_=started),
            "completed_at": case((has_ended, func.coalesce(ended, func.now())), else_=null()),
        }
    }


def _writes(model: type[Experiment | OptimizationRun], view: Any) -> Writes:
    return Writes(
        model,
        view,
        on_insert=_moments(null(), null()),
        on_update=_moments(model.started_at, model.completed_at),
        versioned=True,
    )


_EXPERIMENT_WRITES = _writes(Experiment, views.EXPERIMENT)
_RUN_WRITES = _writes(OptimizationRun, views.RUN)


def _key(model: type[Base]) -> ColumnElement[bool]:
    column: ColumnElement[str] = model.__table__.c.id
    return column == bindparam("key", type_=column.type)


_EXPERIMENT = Query(
    select(
        json_object(views.EXPERIMENT),
        version_of(Experiment),
        case((OptimizationRun.id.is_not(None), json_object(views.RUN))).label("run"),
        version_of(OptimizationRun).label("run_version"),
    )
    .outerjoin(OptimizationRun, OptimizationRun.id == Experiment.optimization_run_id)
    .where(_key(Experiment))
)
_RUN = Query(select(json_object(views.RUN), version_of(OptimizationRun)).where(_key(OptimizationRun)))
# A run's row is locked before its experiments': everyone in the same order, so that nobody waits in a circle.
_LOCK_RUN = Query(
    select(OptimizationRun.status, OptimizationRun.objective, version_of(OptimizationRun))
    .where(_key(OptimizationRun))
    .with_for_update(key_share=True)
)
_RUN_OF = Query(select(Experiment.optimization_run_id).where(_key(Experiment)))
_LOCK_EXPERIMENT = Query(
    select(Experiment.status, Experiment.optimization_run_id, version_of(Experiment))
    .where(_key(Experiment))
    .with_for_update(key_share=True)
)


def _roll_up(objective: Objective) -> Query:
    """The best follows from the experiments; the count from the one that has just been completed."""
    value = Experiment.result_value.asc() if objective is Objective.MINIMIZE else Experiment.result_value.desc()

    def best(column: Any) -> Any:
        return (
            select(column)
            .where(
                and_(
                    Experiment.optimization_run_id == OptimizationRun.id,
                    Experiment.status == Status.COMPLETED,
                    Experiment.result_value.is_not(None),
                )
            )
            # Of equals, the one that came first.
            .order_by(value, Experiment.created_at, Experiment.id)
            .limit(1)
            .correlate(OptimizationRun)
            .scalar_subquery()
        )

    return Query(
        update(OptimizationRun)
        .where(_key(OptimizationRun))
        .values(
            num_experiments=OptimizationRun.num_experiments + bindparam("completed", type_=Integer),
            best_value=best(Experiment.result_value),
            best_experiment_id=best(Experiment.id),
        )
    )


_ROLL_UP = {objective: _roll_up(objective) for objective in Objective}


async def create_experiment(
    tx: Transaction, *, experiment_id: str | None = None, created_by: str | None = None, **fields: Any
) -> Document[schemas.Experiment]:
    """Record an experiment; one that is already completed counts in its campaign at once.

    Args:
        tx: the transaction.
        experiment_id: made by the database when None.
        created_by: the subject who asks for it.
        fields: other columns, as in `schemas.ExperimentCreate`.

    Raises:
        asyncpg.ForeignKeyViolationError: the campaign does not exist.
        asyncpg.UniqueViolationError: the id is taken.
    """
    run = fields.get("optimization_run_id")
    objective = await _lock_run(tx, run) if run is not None else None
    row = await _insert(tx, _EXPERIMENT_WRITES, experiment_id, {**fields, "created_by": created_by})
    if run is not None and objective is not None and fields.get("status") == Status.COMPLETED:
        await tx.value(_ROLL_UP[objective], key=run, completed=1)
    return Document(row[0], schemas.Experiment, row["version"])


async def update_experiment(
    tx: Transaction, *, experiment_id: str, versions: Collection[int] | None = None, **fields: Any
) -> Document[schemas.Experiment]:
    """Change the given columns; the campaign's count and best follow in the same transaction.

    Args:
        tx: the transaction.
        experiment_id: which one.
        versions: it must have one of them; None when any will do.
        fields: other columns, as in `schemas.ExperimentUpdate`.

    Raises:
        NotFound: there is no such experiment.
        PreconditionFailed: it has another version.
        IllegalTransition: the status cannot change in this way.
    """
    run = await tx.value(_RUN_OF, key=experiment_id)
    objective = await _lock_run(tx, run) if run is not None else None
    before = await tx.row(_LOCK_EXPERIMENT, key=experiment_id)
    if before is None:
        message = f"experiment {experiment_id!r} does not exist"
        raise NotFound(message)
    _check_version(f"experiment {experiment_id!r}", before["version"], versions)
    _check_transition("experiment", before["status"], fields.get("status"))
    row = await _update(tx, _EXPERIMENT_WRITES, _EXPERIMENT, experiment_id, fields)
    after = fields.get("status", before["status"])
    if objective is not None and after == Status.COMPLETED:
        await tx.value(_ROLL_UP[objective], key=run, completed=int(before["status"] != Status.COMPLETED))
    return Document(row[0], schemas.Experiment, row["version"])


async def get_experiment(
    db: Executor, experiment_id: str
) -> tuple[Document[schemas.Experiment], Document[schemas.Run] | None]:
    """An experiment and the campaign that it belongs to.

    Raises:
        NotFound: there is no such experiment.
    """
    row = await db.row(_EXPERIMENT, key=experiment_id)
    if row is None:
        message = f"experiment {experiment_id!r} does not exist"
        raise NotFound(message)
    experiment, version, run, run_version = row
    return (
        Document(experiment, schemas.Experiment, version),
        Document(run, schemas.Run, run_version) if run is not None else None,
    )


async def get_experiments(
    db: Executor,
    *,
    status: Status | None = None,
    optimization_run_id: str | None = None,
    created_by: str | None = None,
    limit: int = 100,
    after: Key | None = None,
) -> Page[schemas.ExperimentSummary]:
    """A page of experiments, newest first; iterating gives objects with the fields of the schema."""
    return await views.EXPERIMENTS.page(
        db, limit=limit, after=after, status=status, optimization_run_id=optimization_run_id, created_by=created_by
    )


async def create_run(
    tx: Transaction, *, run_id: str | None = None, created_by: str | None = None, **fields: Any
) -> Document[schemas.Run]:
    """Begin a campaign; fields as in `schemas.RunCreate`."""
    row = await _insert(tx, _RUN_WRITES, run_id, {**fields, "created_by": created_by})
    return Document(row[0], schemas.Run, row["version"])


async def update_run(
    tx: Transaction, *, run_id: str, versions: Collection[int] | None = None, **fields: Any
) -> Document[schemas.Run]:
    """Change the given columns of a campaign.

    Args:
        tx: the transaction.
        run_id: which one.
        versions: it must have one of them; None when any will do.
        fields: other columns, as in `schemas.RunUpdate`.

    Raises:
        NotFound: there is no such campaign.
        PreconditionFailed: it has another version.
        IllegalTransition: the status cannot change in this way.
    """
    before = await tx.row(_LOCK_RUN, key=run_id)
    if before is None:
        message = f"optimization run {run_id!r} does not exist"
        raise NotFound(message)
    _check_version(f"optimization run {run_id!r}", before["version"], versions)
    _check_transition("optimization run", before["status"], fields.get("status"))
    row = await _update(tx, _RUN_WRITES, _RUN, run_id, fields)
    return Document(row[0], schemas.Run, row["version"])


async def get_run(db: Executor, run_id: str) -> Document[schemas.Run]:
    """One campaign.

    Raises:
        NotFound: there is no such campaign.
    """
    return await find(db, _RUN, schemas.Run, name="optimization run", key=run_id)


async def get_runs(
    db: Executor,
    *,
    method: Method | None = None,
    status: Status | None = None,
    created_by: str | None = None,
    limit: int = 50,
    after: Key | None = None,
) -> Page[schemas.RunSummary]:
    """A page of campaigns, newest first."""
    return await views.RUNS.page(db, limit=limit, after=after, method=method, status=status, created_by=created_by)


async def _lock_run(tx: Transaction, run_id: str) -> Objective | None:
    row = await tx.row(_LOCK_RUN, key=run_id)
    # A campaign that is not there is for the foreign key to refuse.
    return Objective(row["objective"]) if row else None


async def _insert(tx: Transaction, writes: Writes, ident: str | None, fields: dict[str, Any]) -> Any:
    """Insert a row whose name is its id unless it has one."""
    if ident is None:
        ident = str(await tx.value(_NEW_ID))
    values = {name: value for name, value in fields.items() if value is not None}
    values = {"status": Status.PENDING, **values, "id": ident}
    values.setdefault("name", ident)
    return await tx.row(writes.insert(frozenset(values)), **values)


async def _update(tx: Transaction, writes: Writes, unchanged: Query, key: str, fields: dict[str, Any]) -> Any:
    query = writes.update(frozenset(fields)) if fields else unchanged
    return await tx.row(query, key=key, **fields)


def _check_version(what: str, found: int, versions: Collection[int] | None) -> None:
    if versions is not None and found not in versions:
        message = f"{what} has another version than If-Match names; read it again, then send the change with its ETag"
        raise PreconditionFailed(message)


def _check_transition(kind: str, before: str, after: str | None) -> None:
    if after is not None and after not in TRANSITIONS[Status(before)]:
        allowed = ", ".join(sorted(TRANSITIONS[Status(before)] - {before})) or "nothing else"
        message = f"status: the {kind} is {before} and can become {allowed}, not {after}"
        raise IllegalTransition(message)


_NEW_ID = Query(select(func.uuid7()))
