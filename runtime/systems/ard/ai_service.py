"""ARD's log of questions to the models: what each took, and what it cost."""

from typing import Any

from sqlalchemy import bindparam, func, select

from runtime.db.documents import Document, find
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import Query, View, json_object
from runtime.db.writes import Writes
from runtime.fields import utc_now
from runtime.systems.ard import prices, schemas, views
from runtime.systems.ard.models import AiQuery
from runtime.systems.ard.prices import Usage
from runtime.systems.ard.vocabulary import ModelTier

_WRITES = Writes(AiQuery, views.AI_QUERY)
_ONE = Query(select(json_object(views.AI_QUERY)).where(AiQuery.id == bindparam("key", type_=AiQuery.id.type)))


async def log_ai_query(
    tx: Transaction,
    *,
    query_id: str | None = None,
    query_text: str,
    selected_model: ModelTier,
    created_by: str | None = None,
    **fields: Any,
) -> Document[schemas.AiQuery]:
    """Record a question and price it.

    Args:
        tx: the transaction.
        query_id: made by the database when None.
        query_text: the question.
        selected_model: whose answer was used.
        created_by: the subject who asked.
        fields: other columns, as in `schemas.AiQueryCreate`.
    """
    now = utc_now()
    values = {name: value for name, value in fields.items() if value is not None}
    values |= _totals(values)
    cost = prices.cost(_usages(values, selected_model), now.date())
    if cost is not None:
        values |= {"estimated_cost_usd": cost.usd, "price_version": cost.price_version}
    values |= {"query_text": query_text, "selected_model": selected_model, "created_at": now, "created_by": created_by}
    if query_id is not None:
        values["id"] = query_id
    row: bytes = await tx.value(_WRITES.insert(frozenset(values)), **values)
    return Document(row, schemas.AiQuery)


def _totals(values: dict[str, Any]) -> dict[str, int]:
    """Totals that follow from their parts."""
    totals = {}
    for tier in ModelTier:
        parts = [values.get(f"{tier}_input_tokens"), values.get(f"{tier}_output_tokens")]
        if None not in parts:
            totals[f"{tier}_tokens"] = sum(part for part in parts if part is not None)
    return totals


def _usages(values: dict[str, Any], selected: ModelTier) -> dict[ModelTier, Usage]:
    """What each model that answered has used: one that left any trace, and the selected one anyway."""
    return {
        tier: Usage(values.get(f"{tier}_input_tokens"), values.get(f"{tier}_output_tokens"))
        for tier in ModelTier
        if tier == selected or any(name.startswith(f"{tier}_") for name in values)
    }


async def get_ai_query(db: Executor, query_id: str) -> Document[schemas.AiQuery]:
    """One question with its answers.

    Raises:
        NotFound: there is no such question.
    """
    return await find(db, _ONE, schemas.AiQuery, name="AI query", key=query_id)


async def get_ai_queries(
    db: Executor, *, limit: int = 100, after: Key | None = None, **filters: Any
) -> Page[schemas.AiQuerySummary]:
    """A page of questions, newest first; filters: selected_model, experiment_id, created_by."""
    return await views.AI_QUERIES.page(db, limit=limit, after=after, **filters)


_ANALYSES: dict[frozenset[str], Query] = {}


async def analyse_cost(db: Executor, **filters: Any) -> Document[schemas.CostAnalysis]:
    """Counts, tokens, latencies and cost of all questions that fit the filters."""
    given = {name: value for name, value in filters.items() if value is not None}
    names = frozenset(given)
    if names not in _ANALYSES:
        _ANALYSES[names] = _analysis(names)
    return Document(await db.value(_ANALYSES[names], **given), schemas.CostAnalysis)


def _analysis(names: frozenset[str]) -> Query:
    total = func.count()
    cost = func.coalesce(func.sum(AiQuery.estimated_cost_usd), 0)
    view: View = [
        total.label("total_queries"),
        total.filter(AiQuery.selected_model == ModelTier.FLASH).label("flash_queries"),
        total.filter(AiQuery.selected_model == ModelTier.PRO).label("pro_queries"),
        func.coalesce(func.sum(AiQuery.flash_tokens), 0).label("total_flash_tokens"),
        func.coalesce(func.sum(AiQuery.pro_tokens), 0).label("total_pro_tokens"),
        func.trim_scale(cost).label("estimated_total_cost_usd"),
        total.filter(AiQuery.estimated_cost_usd.is_(None)).label("unpriced_queries"),
        func.avg(AiQuery.flash_latency_ms).label("avg_flash_latency_ms"),
        func.avg(AiQuery.pro_latency_ms).label("avg_pro_latency_ms"),
        func.trim_scale(func.round(func.avg(AiQuery.estimated_cost_usd), 9)).label("cost_per_query_usd"),
    ]
    return Query(select(json_object(view)).where(*[views.AI_QUERY_FILTERS[name] for name in sorted(names)]))
