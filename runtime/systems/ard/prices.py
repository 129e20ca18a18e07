"""What the Gemini models cost, by date. A price that is not known is never guessed."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from runtime.systems.ard.vocabulary import ModelTier

PER_TOKENS = 1_000_000


@dataclass(frozen=True)
class Price:
    """USD per million tokens."""

    input: Decimal
    output: Decimal


@dataclass(frozen=True)
class PriceTable:
    """Prices from a day on, until the next table."""

    version: str
    since: dt.date
    prices: Mapping[ModelTier, Price]


@dataclass(frozen=True)
class Usage:
    """Tokens of one model's answer; None where the caller did not say."""

    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True)
class Cost:
    """A computed price and the table that it came from."""

    usd: Decimal
    price_version: str


# Newest last. Gemini 2.5 Flash and Gemini 2.5 Pro.
TABLES = (
    PriceTable(
        "2025-09",
        dt.date(2025, 9, 1),
        {
            ModelTier.FLASH: Price(Decimal("0.30"), Decimal("2.50")),
            ModelTier.PRO: Price(Decimal("1.25"), Decimal("10.00")),
        },
    ),
)


def table_at(day: dt.date) -> PriceTable | None:
    """The table in force on a day; None before the first."""
    return next((table for table in reversed(TABLES) if table.since <= day), None)


def cost(usages: Mapping[ModelTier, Usage], day: dt.date) -> Cost | None:
    """What the answers cost together.

    Args:
        usages: the models that answered.
        day: of the query.

    Returns:
        None when no model answered, when tokens of one that did are unknown, or when the day has no prices.
    """
    table = table_at(day)
    if table is None or not usages:
        return None
    total = Decimal(0)
    for tier, usage in usages.items():
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        price = table.prices[tier]
        total += (usage.input_tokens * price.input + usage.output_tokens * price.output) / PER_TOKENS
    return Cost(total, table.version)
