"""utxoIQ's feedback: one row a user and insight, in which each request sets its own columns and no others."""

from typing import Any

from sqlalchemy import Float, bindparam, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from runtime.db.documents import Document
from runtime.db.lists import Key, Page
from runtime.db.pool import Executor, Transaction
from runtime.db.query import LIMIT, Query, json_object, json_page
from runtime.systems.utxoiq import schemas, views
from runtime.systems.utxoiq.models import InsightFeedback

RATINGS = range(1, 6)


def _upsert(*names: str) -> Query:
    """One statement, so that two at once lose nothing: each waits for the other's row and changes its own columns."""
    row = insert(InsightFeedback).values({name: bindparam(name) for name in ("insight_id", "user_id", *names)})
    return Query(
        row.on_conflict_do_update(
            constraint="uq_insight_user_feedback",
            set_={**{name: row.excluded[name] for name in names}, "updated_at": func.clock_timestamp()},
        ).returning(json_object(views.FEEDBACK))
    )


_RATE = _upsert("rating")
_COMMENT = _upsert("comment")
_FLAG = _upsert("flag_type", "flag_reason")

_OF_INSIGHT = InsightFeedback.insight_id == bindparam("insight_id", type_=InsightFeedback.insight_id.type)
# {"1": how many rated 1, …}
_DISTRIBUTION: Any = json_object(
    [
        func.count().filter(InsightFeedback.rating == literal_column(str(rating))).label(str(rating))
        for rating in RATINGS
    ]
)
_STATS = Query(
    select(
        json_object(
            [
                bindparam("insight_id", type_=InsightFeedback.insight_id.type),
                func.count(InsightFeedback.rating).label("total_ratings"),
                cast(func.avg(InsightFeedback.rating), Float).label("average_rating"),
                func.count(InsightFeedback.comment).label("total_comments"),
                func.count(InsightFeedback.flag_type).label("total_flags"),
                _DISTRIBUTION.label("rating_distribution"),
            ]
        )
    ).where(_OF_INSIGHT)
)
_flags = func.count().label("flag_count")
_FLAGGED = Query(
    json_page(
        select(
            InsightFeedback.insight_id,
            _flags,
            func.array_agg(aggregate_order_by(InsightFeedback.flag_type.distinct(), InsightFeedback.flag_type)).label(
                "flag_types"
            ),
        )
        .where(InsightFeedback.flag_type.is_not(None))
        .group_by(InsightFeedback.insight_id)
        .having(func.count() >= bindparam("min_flags"))
        .order_by(_flags.desc(), InsightFeedback.insight_id)
        .limit(LIMIT),
    )
)


async def rate(tx: Transaction, *, insight_id: str, user_id: str, rating: int) -> Document[schemas.Feedback]:
    """Set the user's rating of the insight, 1 to 5."""
    return Document(await tx.value(_RATE, insight_id=insight_id, user_id=user_id, rating=rating), schemas.Feedback)


async def comment(tx: Transaction, *, insight_id: str, user_id: str, comment: str) -> Document[schemas.Feedback]:
    """Set the user's comment on the insight."""
    row = await tx.value(_COMMENT, insight_id=insight_id, user_id=user_id, comment=comment)
    return Document(row, schemas.Feedback)


async def flag(
    tx: Transaction, *, insight_id: str, user_id: str, flag_type: str, flag_reason: str | None = None
) -> Document[schemas.Feedback]:
    """Set the user's flag on the insight, with its reason."""
    row = await tx.value(_FLAG, insight_id=insight_id, user_id=user_id, flag_type=flag_type, flag_reason=flag_reason)
    return Document(row, schemas.Feedback)


async def get_stats(db: Executor, insight_id: str) -> Document[schemas.FeedbackStats]:
    """All feedback on an insight, counted; zeros for one that nobody spoke of."""
    return Document(await db.value(_STATS, insight_id=insight_id), schemas.FeedbackStats)


async def get_comments(
    db: Executor, *, insight_id: str, limit: int = 20, after: Key | None = None
) -> Page[schemas.FeedbackComment]:
    """A page of the comments on an insight, newest first."""
    return await views.COMMENTS.page(db, limit=limit, after=after, insight_id=insight_id)


async def get_user_feedback(
    db: Executor, *, user_id: str, limit: int = 100, after: Key | None = None
) -> Page[schemas.Feedback]:
    """A page of what a user said, newest first."""
    return await views.USER_FEEDBACK.page(db, limit=limit, after=after, user_id=user_id)


async def get_flagged(db: Executor, *, min_flags: int = 3, limit: int = 100) -> Any:
    """Insights flagged at least `min_flags` times, most flagged first: a row of `rows` (JSON) and `count`."""
    return await db.row(_FLAGGED, min_flags=min_flags, limit=limit)
