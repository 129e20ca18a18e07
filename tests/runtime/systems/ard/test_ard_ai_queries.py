"""What a question to the models cost: computed, dated, and never guessed."""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from runtime.db.pool import Database
from runtime.fields import INT4_MAX, utc_now
from runtime.systems.ard import prices, schemas
from runtime.systems.ard.ai_service import analyse_cost, get_ai_queries, get_ai_query, log_ai_query
from runtime.systems.ard.prices import Price, PriceTable, Usage
from runtime.systems.ard.vocabulary import ModelTier

FLASH = {"flash_input_tokens": 1200, "flash_output_tokens": 350}
FLASH_USD = 0.001235  # (1200 x 0.30 + 350 x 2.50) / 1,000,000
PRO = {"pro_input_tokens": 1000, "pro_output_tokens": 500}
PRO_USD = 0.00625  # (1000 x 1.25 + 500 x 10.00) / 1,000,000


async def log(db: Database, query_id: str | None = None, **fields: Any) -> schemas.AiQuery:
    given = {"query_text": "100% 'why' \"ü\"?", "selected_model": ModelTier.FLASH, **fields}
    return (await db.write(lambda tx: log_ai_query(tx, query_id=query_id, **given))).read()


async def test_the_usage_example_of_the_source_works_and_is_not_priced(db: Database) -> None:
    await db.write(
        lambda tx: log_ai_query(
            tx,
            query_id="query-abc",
            query_text="Design next experiment to maximize yield",
            context={"previous_experiments": ["exp-1"]},
            flash_response={"response": "...", "latency_ms": 1234},
            pro_response=None,
            selected_model=ModelTier.FLASH,
            created_by="user-789",
        )
    )
    stored = (await get_ai_query(db, "query-abc")).read()
    assert stored.context == {"previous_experiments": ["exp-1"]}
    assert stored.flash_response == {"response": "...", "latency_ms": 1234}
    assert (stored.pro_response, stored.created_by, stored.selected_model) == (None, "user-789", "flash")
    assert (stored.estimated_cost_usd, stored.cost_known, stored.price_version) == (None, False, None)


async def test_known_tokens_are_priced(db: Database, subtests: pytest.Subtests) -> None:
    for selected, tokens, usd in (
        ("flash", FLASH, FLASH_USD),
        ("pro", PRO, PRO_USD),
        ("pro", {**FLASH, **PRO}, FLASH_USD + PRO_USD),
        ("flash", {"flash_input_tokens": 0, "flash_output_tokens": 0}, 0.0),
        ("flash", {"flash_input_tokens": 1, "flash_output_tokens": 0}, 0.0000003),
        ("pro", {"pro_input_tokens": INT4_MAX, "pro_output_tokens": 0}, 2684.35455875),
    ):
        with subtests.test(selected=selected, tokens=tokens):
            logged = await log(db, selected_model=ModelTier(selected), **tokens)
            assert logged.estimated_cost_usd == pytest.approx(usd, rel=1e-12)
            assert (logged.cost_known, logged.price_version) == (True, "2025-09")


async def test_a_cost_that_does_not_follow_from_the_tokens_is_null_and_flagged(
    db: Database, subtests: pytest.Subtests
) -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"flash_tokens": 1550},
        {"flash_input_tokens": 1200},
        {"flash_output_tokens": 350},
        {**FLASH, "pro_latency_ms": 12.5},
        {**FLASH, "pro_response": {}},
        {**FLASH, "pro_tokens": 0},
        PRO,
    ]
    for fields in cases:
        with subtests.test(fields=fields):
            logged = await log(db, selected_model=ModelTier.FLASH, **fields)
            assert (logged.estimated_cost_usd, logged.cost_known, logged.price_version) == (None, False, None)


async def test_totals_follow_from_their_parts(db: Database) -> None:
    logged = await log(db, **FLASH)
    assert (logged.flash_tokens, logged.pro_tokens) == (1550, None)


async def test_a_day_before_the_first_price_table_has_no_price(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = utc_now().date() + dt.timedelta(days=1)
    monkeypatch.setattr(prices, "TABLES", (dataclasses.replace(prices.TABLES[0], since=tomorrow),))
    logged = await log(db, **FLASH)
    assert (logged.estimated_cost_usd, logged.cost_known) == (None, False)


async def test_the_price_table_of_the_querys_day_is_used(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    today = utc_now().date()

    def table(version: str, since: dt.date, usd: str) -> PriceTable:
        price = Price(Decimal(usd), Decimal(usd))
        return PriceTable(version, since, {ModelTier.FLASH: price, ModelTier.PRO: price})

    tables = (table("old", dt.date(2020, 1, 1), "1"), table("next", today + dt.timedelta(days=2), "3"))
    monkeypatch.setattr(prices, "TABLES", tables)
    before = await log(db, **FLASH)
    monkeypatch.setattr(prices, "TABLES", (tables[0], table("new", today, "2"), tables[1]))
    after = await log(db, **FLASH)
    assert (before.price_version, before.estimated_cost_usd) == ("old", 0.00155)
    assert (after.price_version, after.estimated_cost_usd) == ("new", 0.0031)


def test_a_table_is_in_force_from_its_first_day_on() -> None:
    usages = {ModelTier.FLASH: Usage(1_000_000, 1_000_000), ModelTier.PRO: Usage(1_000_000, 1_000_000)}
    first = prices.cost(usages, dt.date(2025, 9, 1))
    assert first is not None
    assert (first.usd, first.price_version) == (Decimal("14.05"), "2025-09")
    assert prices.cost(usages, dt.date(2025, 8, 31)) is None
    assert prices.cost({}, dt.date(2025, 9, 1)) is None


async def test_the_cost_analysis_covers_all_that_fit_the_filters_and_not_only_a_page(db: Database) -> None:
    for _ in range(3):
        await log(db, created_by="a", flash_latency_ms=100.0, **FLASH)
    await log(db, created_by="a", selected_model=ModelTier.PRO, pro_latency_ms=1000.0, pro_tokens=70)
    await log(db, created_by="b", selected_model=ModelTier.PRO, flash_latency_ms=0.0, **FLASH, **PRO)
    page = await get_ai_queries(db, limit=1, created_by="a")
    assert page.count == 1

    everything = (await analyse_cost(db)).read()
    assert (everything.total_queries, everything.flash_queries, everything.pro_queries) == (5, 3, 2)
    assert (everything.total_flash_tokens, everything.total_pro_tokens) == (4 * 1550, 1570)
    assert everything.estimated_total_cost_usd == pytest.approx(4 * FLASH_USD + PRO_USD)
    assert everything.unpriced_queries == 1
    assert everything.cost_per_query_usd == pytest.approx((4 * FLASH_USD + PRO_USD) / 4)
    assert everything.avg_flash_latency_ms == pytest.approx(75.0)
    assert everything.avg_pro_latency_ms == pytest.approx(1000.0)

    theirs = (await analyse_cost(db, created_by="a", selected_model=ModelTier.FLASH)).read()
    assert (theirs.total_queries, theirs.pro_queries, theirs.unpriced_queries) == (3, 0, 0)
    assert theirs.estimated_total_cost_usd == pytest.approx(3 * FLASH_USD)

    nobodys = (await analyse_cost(db, created_by="nobody")).read()
    assert (nobodys.total_queries, nobodys.estimated_total_cost_usd, nobodys.cost_per_query_usd) == (0, 0, None)
    assert (nobodys.avg_flash_latency_ms, nobodys.total_pro_tokens) == (None, 0)
