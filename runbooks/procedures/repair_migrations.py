"""repair-migrations: a database whose tables, revision and migrations do not agree is brought to the head."""

from alembic import command
from pydantic import Field

from runbooks.engine.errors import FailedError
from runbooks.engine.findings import Result
from runbooks.engine.procedure import Change, Inputs, Output, Procedure, Step
from runbooks.engine.run import Run
from runbooks.procedures.preconditions import instance_serves
from runbooks.procedures.schema import chain, leftovers, scratch, structure
from runbooks.procedures.schema.indexes import is_leftover_of_reindex, rebuild
from runbooks.procedures.schema.judgement import Judgement, judge, told_shortly
from runtime.db import revisions
from runtime.db.migrate import migrate
from runtime.db.release import migrations_folder
from runtime.errors import PreflightError

CHAIN = "The migrations are one chain"
FITS = "The tables are those of a revision"
NEWER = "deploy the release that made it, or a newer one"
RESTORE = "what is missing is not made up: compare with a restored backup (holdfast runbook run verify-backup)"


class Asked(Inputs):
    """What is asked."""

    revision: str | None = Field(
        default=None, max_length=32, description="the revision that it is, where the tables fit more than one"
    )


class Examined(Output):
    """What is to be mended.

    Attributes:
        told: what the database says its revision is.
        stamp: the revision that it is to be told it has.
        tables: of a later revision, and empty: dropped.
        statements: what drops the other leftovers.
        rebuilt: invalid indexes, and what makes each; nothing for one that is only dropped.
        rows: of each table, before.
    """

    told: tuple[str, ...]
    stamp: str | None
    tables: tuple[str, ...]
    statements: tuple[str, ...]
    rebuilt: dict[str, str]
    rows: dict[str, int]


def chain_is_whole(run: Run) -> None:
    """The installed migrations are one chain with one head."""
    wrong = chain.wrong(migrations_folder())
    for one in wrong[1:]:
        run.find(CHAIN, Result.FAULT, f"{one.place}: {one.found}", one.change)
    if wrong:
        first = wrong[0]
        action = f"{first.place}: {first.change}, and deploy that; code is not changed from here"
        run.require(CHAIN, f"{first.place}: {first.found}", action, holds=False)
    try:
        found, holds = revisions.head(), True
    except PreflightError as error:
        found, holds = str(error), False
    run.require(CHAIN, f"head {found}" if holds else found, "correct what it names, and deploy that", holds=holds)


def examine(run: Run) -> Examined:
    """Compare the database with what each revision makes in a scratch database, and decide what mends it."""
    made = scratch.structures(run)
    with run.tools.connect() as opened:
        judgement = judge(structure.revisions_told(opened), structure.read(opened), made, run.inputs(Asked).revision)
        _require_fit(run, judgement)
        tables, statements = leftovers.planned(run, opened, judgement.leftovers)
        rebuilt = _invalid(run, structure.invalid(opened), judgement)
        rows = structure.row_counts(opened)
    return Examined(
        told=judgement.told,
        stamp=judgement.revision if judgement.stamp else None,
        tables=tables,
        statements=statements,
        rebuilt=rebuilt,
        rows=rows,
    )


def drop(run: Run) -> None:
    """Drop what a migration that failed left behind, if it is empty."""
    found = run.output(Examined)
    with run.tools.connect() as opened:
        leftovers.drop(run, opened, found.tables, found.statements)


def stamp(run: Run) -> None:
    """Tell the database the revision that its tables have."""
    found = run.output(Examined)
    assert found.stamp is not None  # noqa: S101  # or the step is not wanted
    with scratch.engine(run) as engine, engine.connect() as connection:
        config = revisions.alembic_config()
        config.attributes["connection"] = connection
        command.stamp(config, found.stamp, purge=True)
    was = ", ".join(found.told) or "none"
    run.find(FITS, Result.MENDED, f"it said {was}", f"it says {found.stamp}, whose structure it has exactly")


def indexes(run: Run) -> None:
    """Drop invalid indexes and build them again, while others read and write."""
    with run.tools.connect() as opened:
        for name, definition in run.output(Examined).rebuilt.items():
            run.progress(f"index {name}")
            rebuild(run, opened, name, definition)


def to_head(run: Run) -> None:
    """Migrate to the head, as python -m runtime migrate does."""
    run.tools.permissions.require(scratch.DEFINE)
    try:
        done = migrate(scratch.settings(run))
    except PreflightError as error:
        code = "MIGRATION_FAILED"
        raise FailedError(code, str(error)) from None
    if done.before == done.after:
        run.find("The database is at the head", Result.OK, done.after)
    else:
        run.find(
            "The database is at the head", Result.MENDED, f"it was at {done.before or 'none'}", f"now {done.after}"
        )


def verify(run: Run) -> None:
    """See that everything fits, and that no table has fewer rows than before."""
    before = run.output(Examined)
    made = scratch.structures(run)
    with run.tools.connect() as opened:
        judgement = judge(structure.revisions_told(opened), structure.read(opened), made)
        fits = judgement == Judgement(judgement.told, revisions.head(), others=judgement.others)
        found = ", ".join(judgement.told) or "none"
        run.find(FITS, Result.OK if fits else Result.FAULT, f"revision {found}, exactly" if fits else str(judgement))
        left = [one.name for one in structure.invalid(opened)]
        run.find(
            "No index is invalid",
            Result.FAULT if left else Result.OK,
            told_shortly(left) or "none is",
            "holdfast runbook run repair-migrations" if left else "",
        )
        rows = structure.row_counts(opened)
    kept = {table: count for table, count in before.rows.items() if table not in before.tables}
    fewer = [
        f"{table}: {count} before, {rows.get(table)} now"
        for table, count in kept.items()
        if rows.get(table, -1) < count
    ]
    told = ", ".join(f"{table} {rows[table]}" for table in kept if table in rows)
    run.find(
        "No table has fewer rows than before",
        Result.FAULT if fewer else Result.OK,
        "; ".join(fewer) or told or "there are no tables",
        "see whether a job deleted them meanwhile (retention), or restore them from a backup" if fewer else "",
    )


def _require_fit(run: Run, judgement: Judgement) -> None:
    told = ", ".join(judgement.told) or "none"
    others = f"; of nobody's migration: {told_shortly(judgement.others)}" if judgement.others else ""
    if judgement.fitting:
        which = " or ".join(judgement.fitting)
        choose = f"say which: holdfast runbook run repair-migrations revision={judgement.fitting[-1]}"
        run.require(FITS, f"it says {told}, and fits {which} alike", choose, holds=False)
    if judgement.differences:
        is_known = judgement.revision is not None
        found = f"it says {told}; {told_shortly(judgement.differences)}{others}"
        run.require(FITS, found, RESTORE if is_known else NEWER, holds=False)
    if not judgement.stamp and not judgement.leftovers:
        run.find(FITS, Result.OK, f"{told}, exactly{others}")


def _invalid(run: Run, found: list[structure.Invalid], judgement: Judgement) -> dict[str, str]:
    """The definitions of invalid indexes: one that was dropped and not yet built again is only known from here."""
    gone = {part.name for part in judgement.leftovers if part.kind == "index"}
    gone_with = {part.name for part in judgement.leftovers if part.kind == "table"}
    rebuilt = {}
    for one in found:
        if one.name in gone or one.table in gone_with:
            continue
        if is_leftover_of_reindex(one.name):
            rebuilt[one.name] = ""
        elif one.is_alone:
            rebuilt[one.name] = one.definition
        else:
            again = f"REINDEX INDEX CONCURRENTLY public.{one.name}, or attach the missing index of a partition to it"
            run.find(f"Index {one.name} is valid", Result.FAULT, f"no, on {one.table}; it is a part of another", again)
    return rebuilt


# A dry run asks before anything was examined.
def _has_leftovers(run: Run) -> bool:
    found = run.done(Examined)
    return found is None or bool(found.tables or found.statements)


def _says_another(run: Run) -> bool:
    found = run.done(Examined)
    return found is None or found.stamp is not None


def _has_invalid(run: Run) -> bool:
    found = run.done(Examined)
    return found is None or bool(found.rebuilt)


def plan_examine(run: Run) -> Change:
    """What the database says."""
    with run.tools.connect() as opened:
        told = ", ".join(structure.revisions_told(opened)) or "none"
        count = sum(1 for part in structure.read(opened) if part.kind == "table")
    return Change(
        f"it says revision {told}, and has {count} tables; the head is {revisions.head()}",
        "compared with each revision, made in a scratch database of this server that is dropped again",
    )


def plan_drop(run: Run) -> Change:
    """Tables of a later revision."""
    with run.tools.connect() as opened:
        later = leftovers.later(structure.revisions_told(opened))
        rows = structure.row_counts(opened)
    found = [f"{table} ({rows[table]} rows)" for table in sorted(later & rows.keys())]
    return Change(
        f"of a later revision than it says: {told_shortly(found) or 'no table'}",
        "kept where the tables fit a later revision exactly; else dropped if all are empty, and refused if one is not",
    )


def plan_stamp(run: Run) -> Change:
    """The revision."""
    with run.tools.connect() as opened:
        told = ", ".join(structure.revisions_told(opened)) or "none"
    return Change(f"it says revision {told}", "the one revision whose structure the tables have exactly, if not that")


def plan_indexes(run: Run) -> Change:
    """Invalid indexes."""
    with run.tools.connect() as opened:
        names = [one.name for one in structure.invalid(opened)]
    return Change(f"invalid: {told_shortly(names) or 'none'}", "each dropped and built again concurrently")


def plan_to_head(run: Run) -> Change:
    """The head."""
    return Change("see the first step", f"at revision {revisions.head()} of database {run.target.database}")


def plan_verify(run: Run) -> Change:
    """The rows."""
    with run.tools.connect() as opened:
        rows = structure.row_counts(opened)
    return Change(f"{sum(rows.values())} rows in {len(rows)} tables", "as many or more in each table that is kept")


PROCEDURE = Procedure(
    name="repair-migrations",
    title="Bring a database whose tables and migrations do not agree to the head, without losing a row",
    when=(
        "When python -m runtime migrate refuses: an unknown revision, a table that is there already, a revision that "
        "is behind the tables, a migration that stopped half-way, an invalid index."
    ),
    inputs=Asked,
    preconditions=(chain_is_whole, instance_serves),
    steps=(
        Step("examine", examine, plan_examine, changes=("database.define",)),
        Step("drop", drop, plan_drop, changes=("database.drop",), wanted=_has_leftovers),
        Step("stamp", stamp, plan_stamp, changes=("database.define", "database.write"), wanted=_says_another),
        Step("indexes", indexes, plan_indexes, changes=("database.define",), wanted=_has_invalid),
        Step("migrate", to_head, plan_to_head, changes=("database.define", "database.write")),
        Step("verify", verify, plan_verify, changes=("database.define",)),
    ),
    destroys=True,
)
