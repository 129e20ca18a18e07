"""Experiments and campaigns as a program uses them: the functions of the source's usage examples."""

import asyncio
import datetime as dt
import itertools
from typing import Any

import asyncpg
import pytest

from runtime.db.pool import Database
from runtime.problems import IllegalTransition, NotFound
from runtime.systems.ard import schemas
from runtime.systems.ard.service import (
    create_experiment,
    create_run,
    get_experiment,
    get_experiments,
    get_run,
    get_runs,
    update_experiment,
    update_run,
)
from runtime.systems.ard.vocabulary import ExperimentStatus, Method, Objective

Status = ExperimentStatus
HOSTILE = "100% of 'it' is \"quoted\" \\ ü 🜚 {}"
ENDED = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


async def make_run(db: Database, run_id: str = "run-456", objective: str = "minimize") -> schemas.Run:
    made = await db.write(
        lambda tx: create_run(tx, run_id=run_id, method=Method.BAYESIAN_OPTIMIZATION, objective=Objective(objective))
    )
    return made.read()


async def make(db: Database, experiment_id: str, **fields: Any) -> schemas.Experiment:
    return (await db.write(lambda tx: create_experiment(tx, experiment_id=experiment_id, **fields))).read()


async def change(db: Database, experiment_id: str, **fields: Any) -> schemas.Experiment:
    return (await db.write(lambda tx: update_experiment(tx, experiment_id=experiment_id, **fields))).read()


async def standing(db: Database, run_id: str = "run-456") -> tuple[int, float | None, str | None]:
    run = (await get_run(db, run_id)).read()
    return run.num_experiments, run.best_value, run.best_experiment_id


async def test_the_usage_examples_of_the_source_work(db: Database) -> None:
    await make_run(db)
    experiment = await db.write(
        lambda tx: create_experiment(
            tx,
            experiment_id="exp-123",
            parameters={"temperature": 300, "pressure": 1.0},
            config={"method": "xrd", "duration": 60},
            optimization_run_id="run-456",
            created_by="user-789",
        )
    )
    await db.write(
        lambda tx: update_experiment(
            tx,
            experiment_id="exp-123",
            status=ExperimentStatus.COMPLETED,
            result_value=42.5,
            result_data={"peaks": [1.2, 3.4, 5.6]},
            result_uri="gs://bucket/experiments/exp-123/result.json",
        )
    )
    found = await get_experiments(db, optimization_run_id="run-456", status=ExperimentStatus.COMPLETED, limit=100)
    assert experiment.read().parameters == {"temperature": 300, "pressure": 1.0}
    assert [(exp.id, exp.result_value) for exp in found] == [("exp-123", 42.5)]
    document, run = await get_experiment(db, "exp-123")
    stored = document.read()
    assert (stored.config, stored.result_data) == ({"method": "xrd", "duration": 60}, {"peaks": [1.2, 3.4, 5.6]})
    assert (stored.created_by, stored.result_uri) == ("user-789", "gs://bucket/experiments/exp-123/result.json")
    assert run is not None
    assert run.read().best_experiment_id == "exp-123"


async def test_hostile_values_come_back_as_they_went_in(db: Database) -> None:
    values: dict[str, Any] = {
        "name": HOSTILE,
        "description": HOSTILE * 1000,
        "parameters": {HOSTILE: [0.0, -0.5, 1.5e-7, "", None, {"": []}], "big": 10**400},
        "result_value": 0.0,
        "created_by": HOSTILE,
    }
    made = await make(db, HOSTILE, **values)
    document, _run = await get_experiment(db, HOSTILE)
    stored = document.read()
    assert stored == made
    assert {name: getattr(stored, name) for name in values} == values


async def test_an_experiment_without_id_or_name_is_named_by_its_id(db: Database) -> None:
    first = (await db.write(create_experiment)).read()
    second = (await db.write(create_experiment)).read()
    assert first.id != second.id
    assert first.name == first.id
    assert first.created_by is None


async def test_created_in_a_status_it_has_the_times_of_that_status(db: Database) -> None:
    made = {status: await make(db, status, status=status) for status in Status}
    started = {status for status, experiment in made.items() if experiment.started_at is not None}
    ended = {status for status, experiment in made.items() if experiment.completed_at is not None}
    assert started == {Status.RUNNING, Status.COMPLETED, Status.FAILED}
    assert ended == ENDED


async def test_running_and_completing_set_each_time_once(db: Database) -> None:
    await make(db, "exp")
    running = await change(db, "exp", status=Status.RUNNING)
    again = await change(db, "exp", status=Status.RUNNING)
    completed = await change(db, "exp", status=Status.COMPLETED)
    corrected = await change(db, "exp", status=Status.COMPLETED, result_value=1.0)
    assert running.started_at is not None
    assert running.completed_at is None
    assert again.started_at == running.started_at == completed.started_at
    assert completed.completed_at is not None
    assert completed.completed_at > running.started_at
    assert corrected.completed_at == completed.completed_at
    assert completed.completed_at <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)


async def test_what_has_ended_stays_so_and_what_runs_is_not_pending_again(db: Database) -> None:
    for before, after in itertools.product(Status, Status):
        name = f"{before} to {after}"
        await make(db, name, status=before)
        if (before in ENDED and after != before) or (before is Status.RUNNING and after is Status.PENDING):
            with pytest.raises(IllegalTransition, match=rf"^status: the experiment is {before} .* not {after}$"):
                await change(db, name, status=after, result_value=7.0)
            document, _ = await get_experiment(db, name)
            stored = document.read()
            assert (stored.status, stored.result_value) == (before, None), name
        else:
            assert (await change(db, name, status=after)).status == after, name


async def test_a_campaigns_status_changes_by_the_same_rules(db: Database) -> None:
    await make_run(db)
    moved = await db.write(lambda tx: update_run(tx, run_id="run-456", status=Status.COMPLETED))
    assert moved.read().completed_at is not None
    with pytest.raises(IllegalTransition, match=r"^status: the optimization run is completed .* not running$"):
        await db.write(lambda tx: update_run(tx, run_id="run-456", status=Status.RUNNING, name="x"))
    assert (await get_run(db, "run-456")).read() == moved.read()


async def test_an_update_leaves_alone_what_it_does_not_name(db: Database) -> None:
    made = await make(
        db,
        "exp",
        name="n",
        description="d",
        parameters={"a": 1},
        config={"b": 2},
        result_data={"c": 3},
        result_value=0.0,
    )
    assert await change(db, "exp") == made
    changed = await change(db, "exp", description=None, result_data=None)
    assert changed == made.model_copy(update={"description": None, "result_data": None})


async def test_what_does_not_exist_is_named(db: Database) -> None:
    with pytest.raises(NotFound, match=r"^experiment 'no%such' does not exist$"):
        await change(db, "no%such", status=Status.RUNNING)
    with pytest.raises(NotFound, match=r"^experiment 'nope' does not exist$"):
        await get_experiment(db, "nope")
    with pytest.raises(NotFound, match=r"^optimization run 'nope' does not exist$"):
        await get_run(db, "nope")
    with pytest.raises(NotFound, match=r"^optimization run 'nope' does not exist$"):
        await db.write(lambda tx: update_run(tx, run_id="nope", name="x"))


async def test_an_experiment_of_an_unknown_campaign_is_not_stored(db: Database) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="optimization_run_id"):
        await make(db, "exp", optimization_run_id="no-such-run")
    assert list(await get_experiments(db)) == []


@pytest.mark.parametrize(("objective", "best"), [("minimize", ("exp-0", -3.5)), ("maximize", ("exp-1", 8.0))])
async def test_a_campaign_counts_completed_experiments_and_knows_the_best(
    db: Database, objective: str, best: tuple[str, float]
) -> None:
    await make_run(db, objective=objective)
    for place, value in enumerate([-3.5, 8.0, 0.0, None]):
        await make(db, f"exp-{place}", optimization_run_id="run-456")
        await change(db, f"exp-{place}", status=Status.RUNNING)
        assert (await standing(db))[0] == place
        await change(db, f"exp-{place}", status=Status.COMPLETED, result_value=value)
    assert await standing(db) == (4, best[1], best[0])


async def test_a_result_of_zero_is_a_result_and_null_is_none(db: Database) -> None:
    await make_run(db, objective="maximize")
    await make(db, "null", optimization_run_id="run-456", status=Status.COMPLETED)
    assert await standing(db) == (1, None, None)
    await make(db, "negative", optimization_run_id="run-456", status=Status.COMPLETED, result_value=-1.0)
    await make(db, "zero", optimization_run_id="run-456", status=Status.COMPLETED, result_value=0.0)
    assert await standing(db) == (3, 0.0, "zero")


async def test_an_experiment_that_is_not_completed_does_not_count_whatever_its_result(db: Database) -> None:
    await make_run(db)
    await make(db, "done", optimization_run_id="run-456", status=Status.COMPLETED, result_value=5.0)
    for status in set(Status) - {Status.COMPLETED}:
        await make(db, status, optimization_run_id="run-456", status=status, result_value=-100.0)
        await change(db, status, result_value=-200.0)
    await change(db, "done", result_value=4.0)
    assert await standing(db) == (1, 4.0, "done")


async def test_correcting_a_completed_result_moves_the_best_and_not_the_count(db: Database) -> None:
    await make_run(db)
    for name, value in (("a", 1.0), ("b", 2.0)):
        await make(db, name, optimization_run_id="run-456", status=Status.COMPLETED, result_value=value)
    await change(db, "a", result_value=3.0)
    assert await standing(db) == (2, 2.0, "b")
    await change(db, "b", result_value=None)
    assert await standing(db) == (2, 3.0, "a")
    await change(db, "a", result_value=None)
    assert await standing(db) == (2, None, None)


async def test_of_equal_results_the_first_experiment_is_the_best(db: Database) -> None:
    await make_run(db)
    for name in ("z-first", "a-second"):
        await make(db, name, optimization_run_id="run-456", status=Status.COMPLETED, result_value=7.0)
    assert await standing(db) == (2, 7.0, "z-first")


async def test_campaigns_do_not_mix(db: Database) -> None:
    for run in ("one", "two"):
        await make_run(db, run)
    await make(db, "a", optimization_run_id="one", status=Status.COMPLETED, result_value=1.0)
    await make(db, "b", optimization_run_id="two", status=Status.COMPLETED, result_value=-1.0)
    await make(db, "c", status=Status.COMPLETED, result_value=-9.0)
    assert await standing(db, "one") == (1, 1.0, "a")
    assert await standing(db, "two") == (1, -1.0, "b")


@pytest.mark.parametrize("objective", list(Objective))
async def test_twenty_experiments_completed_at_once_all_count(db: Database, objective: Objective) -> None:
    await make_run(db, objective=objective)
    values = [float((7 * place + 3) % 20) for place in range(20)]
    for place in range(10):
        await make(db, f"exp-{place}", optimization_run_id="run-456", status=Status.RUNNING)
    # Half are completed, half are created as completed, and the campaign itself is written to meanwhile.
    await asyncio.gather(
        *(change(db, f"exp-{place}", status=Status.COMPLETED, result_value=values[place]) for place in range(10)),
        *(
            make(
                db,
                f"exp-{place}",
                optimization_run_id="run-456",
                status=Status.COMPLETED,
                result_value=values[place],
            )
            for place in range(10, 20)
        ),
        db.write(lambda tx: update_run(tx, run_id="run-456", status=Status.RUNNING)),
    )
    best = min(values) if objective is Objective.MINIMIZE else max(values)
    assert await standing(db) == (20, best, f"exp-{values.index(best)}")


async def test_one_experiment_completed_by_many_at_once_counts_once(db: Database) -> None:
    await make_run(db)
    await make(db, "exp", optimization_run_id="run-456", status=Status.RUNNING)
    await asyncio.gather(*(change(db, "exp", status=Status.COMPLETED, result_value=float(n)) for n in range(10)))
    count, value, best = await standing(db)
    document, _run = await get_experiment(db, "exp")
    assert (count, best) == (1, "exp")
    assert value == document.read().result_value


async def test_of_many_endings_at_once_one_holds(db: Database) -> None:
    for round_ in range(5):
        name = f"exp-{round_}"
        await make(db, name, status=Status.RUNNING)
        endings = [status for status in sorted(ENDED) for _ in range(3)]
        answers = await asyncio.gather(
            *(change(db, name, status=status, description=status) for status in endings), return_exceptions=True
        )
        accepted = {answer.status for answer in answers if isinstance(answer, schemas.Experiment)}
        refused = [answer for answer in answers if isinstance(answer, IllegalTransition)]
        assert (len(accepted), len(refused)) == (1, 6)
        document, _run = await get_experiment(db, name)
        stored = document.read()
        assert {stored.status, stored.description} == accepted


async def test_a_failed_transaction_leaves_neither_the_result_nor_the_count(db: Database) -> None:
    await make_run(db)
    await make(db, "exp", optimization_run_id="run-456")

    async def complete_then_fail(tx: Any) -> None:
        await update_experiment(tx, experiment_id="exp", status=Status.COMPLETED, result_value=1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.write(complete_then_fail)
    assert await standing(db) == (0, None, None)
    assert [exp.status for exp in await get_experiments(db)] == [Status.PENDING]


async def test_the_database_refuses_numbers_that_json_does_not_have(db: Database) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(asyncpg.CheckViolationError, match="result_value_finite"):
            await make(db, "exp", result_value=value)
    assert list(await get_experiments(db)) == []


async def test_runs_are_listed_newest_first_and_filtered(db: Database) -> None:
    for name in ("first", "second", "third"):
        await make_run(db, name)
    await db.write(lambda tx: update_run(tx, run_id="second", status=Status.RUNNING))
    assert [run.id for run in await get_runs(db)] == ["third", "second", "first"]
    assert [run.id for run in await get_runs(db, status=Status.RUNNING)] == ["second"]
    assert [run.id for run in await get_runs(db, method=Method.OTHER)] == []
