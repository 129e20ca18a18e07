"""Feedback on insights: one row a user and insight, whoever writes at the same time."""

import asyncio
import itertools
import statistics
from collections import Counter
from typing import Any

import pytest

from runtime.db.pool import Database
from runtime.systems.utxoiq import feedback_service as service
from runtime.systems.utxoiq import schemas

INSIGHT = "insight '100%' \"ü\""
LONGEST = "ü" * 100


async def rate(db: Database, user: str, rating: int, insight: str = INSIGHT) -> schemas.Feedback:
    return (await db.write(lambda tx: service.rate(tx, insight_id=insight, user_id=user, rating=rating))).read()


async def comment(db: Database, user: str, words: str, insight: str = INSIGHT) -> schemas.Feedback:
    return (await db.write(lambda tx: service.comment(tx, insight_id=insight, user_id=user, comment=words))).read()


async def flag(
    db: Database, user: str, flag_type: str = "spam", insight: str = INSIGHT, reason: str | None = None
) -> schemas.Feedback:
    flagged = await db.write(
        lambda tx: service.flag(tx, insight_id=insight, user_id=user, flag_type=flag_type, flag_reason=reason)
    )
    return flagged.read()


async def said(db: Database, user: str) -> list[schemas.Feedback]:
    return list(await service.get_user_feedback(db, user_id=user))


async def test_each_call_sets_its_own_columns_and_no_others(db: Database) -> None:
    first = await rate(db, "u'1", 1)
    await comment(db, "u'1", "100% \\ ü 🜚")
    await flag(db, "u'1", "misleading", reason="é")
    last = await rate(db, "u'1", 5)
    assert [last] == await said(db, "u'1")
    assert (last.id, last.created_at) == (first.id, first.created_at)
    assert last.updated_at > first.updated_at
    assert (last.rating, last.comment, last.flag_type, last.flag_reason) == (5, "100% \\ ü 🜚", "misleading", "é")


async def test_a_new_flag_replaces_the_reason_of_the_old_one(db: Database) -> None:
    await flag(db, "u", "inaccurate", reason="off by ten")
    changed = await flag(db, "u", "spam")
    assert (changed.flag_type, changed.flag_reason) == ("spam", None)


async def test_one_user_who_does_everything_at_once_loses_nothing(db: Database) -> None:
    for round_ in range(5):
        user = f"user-{round_}"
        await asyncio.gather(rate(db, user, 4), comment(db, user, "c"), flag(db, user, "spam", reason="r"))
        (row,) = await said(db, user)
        assert (row.rating, row.comment, row.flag_type, row.flag_reason) == (4, "c", "spam", "r")


async def test_twenty_users_at_once_lose_nothing_and_the_counts_are_right(db: Database) -> None:
    users = [f"user-{n}" for n in range(20)]
    ratings = {user: 1 + n % 5 for n, user in enumerate(users)}
    commenting, flagging = users[::2], users[::3]
    await asyncio.gather(
        *(rate(db, user, rating) for user, rating in ratings.items()),
        *(comment(db, user, f"by {user}") for user in commenting),
        *(flag(db, user) for user in flagging),
        # The same again: what is repeated counts once.
        *(rate(db, user, rating) for user, rating in ratings.items()),
    )
    stats = (await service.get_stats(db, INSIGHT)).read()
    assert stats.total_ratings == len(users)
    assert stats.average_rating == pytest.approx(statistics.fmean(ratings.values()))
    assert (stats.total_comments, stats.total_flags) == (len(commenting), len(flagging))
    assert stats.rating_distribution == {str(key): count for key, count in Counter(ratings.values()).items()}
    for user in users:
        (row,) = await said(db, user)
        assert row.rating == ratings[user]
        assert row.comment == (f"by {user}" if user in commenting else None)
        assert row.flag_type == ("spam" if user in flagging else None)


async def test_the_counts_are_of_one_insight_and_each_rating_is_listed(db: Database) -> None:
    for user, rating in (("a", 1), ("b", 2), ("c", 2)):
        await rate(db, user, rating)
    await rate(db, "a", 5, insight="other")
    await comment(db, "d", "no rating")
    stats = (await service.get_stats(db, INSIGHT)).read()
    assert stats.insight_id == INSIGHT
    assert stats.rating_distribution == {"1": 1, "2": 2, "3": 0, "4": 0, "5": 0}
    assert stats.average_rating == pytest.approx(5 / 3)
    assert (stats.total_ratings, stats.total_comments, stats.total_flags) == (3, 1, 0)


async def test_an_insight_that_nobody_spoke_of_has_zeros_and_no_average(db: Database) -> None:
    stats = (await service.get_stats(db, LONGEST)).read()
    assert stats.insight_id == LONGEST
    assert (stats.total_ratings, stats.average_rating, stats.total_comments, stats.total_flags) == (0, None, 0, 0)
    assert set(stats.rating_distribution.values()) == {0}


async def test_comments_are_those_on_the_insight_newest_first(db: Database) -> None:
    for user in ("first", "second", "third"):
        await comment(db, user, f"by {user}")
    await rate(db, "silent", 3)
    await comment(db, "elsewhere", "x", insight="other")
    found = list(await service.get_comments(db, insight_id=INSIGHT))
    assert [(one.user_id, one.comment) for one in found] == [
        (user, f"by {user}") for user in ("third", "second", "first")
    ]
    assert (await service.get_comments(db, insight_id=INSIGHT, limit=2)).count == 2


async def test_insights_are_listed_from_the_given_number_of_flags_on(db: Database) -> None:
    flags = {
        "one": ["spam"],
        "three": ["spam", "misleading", "spam"],
        "four": ["inaccurate"] * 4,
        "also three": ["spam"] * 3,
    }
    for insight, kinds in flags.items():
        for user, kind in enumerate(kinds):
            await flag(db, f"user-{user}", kind, insight)
    await rate(db, "user-9", 1, insight="unflagged")

    async def flagged(**options: Any) -> list[tuple[str, int, list[str]]]:
        found = await service.get_flagged(db, **options)
        insights = schemas.FlaggedList.model_validate_json(b'{"insights":%b,"count":%d}' % tuple(found)).insights
        return [(one.insight_id, one.flag_count, [str(kind) for kind in one.flag_types]) for one in insights]

    three = [("four", 4, ["inaccurate"]), ("also three", 3, ["spam"]), ("three", 3, ["misleading", "spam"])]
    assert await flagged() == three
    assert await flagged(min_flags=4) == three[:1]
    assert await flagged(min_flags=1) == [*three, ("one", 1, ["spam"])]
    assert await flagged(min_flags=1, limit=2) == three[:2]
    assert await flagged(min_flags=5) == []


async def test_users_and_insights_of_the_longest_name_are_kept_apart(db: Database) -> None:
    for insight, user in itertools.product((LONGEST, LONGEST[1:]), repeat=2):
        await rate(db, user, 3, insight)
    assert [row.insight_id for row in await said(db, LONGEST)] == [LONGEST[1:], LONGEST]
