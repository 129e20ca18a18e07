"""Feedback on insights: each call sets the caller's own rating, comment or flag."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from runtime.api.caching import cached
from runtime.api.context import ListCall, caller, database, json_response, unpaged_response
from runtime.api.guard import guarded_route
from runtime.api.idempotency import post
from runtime.platform.scopes import Scope
from runtime.problems import Forbidden, InvalidCursor, documented
from runtime.systems.utxoiq import caching, examples, feedback_service, schemas

router = APIRouter(prefix="/api/v1/feedback", tags=["utxoIQ feedback"], route_class=guarded_route("utxoiq"))


@router.post("/rate", responses=documented(schemas.Feedback, examples.FEEDBACK))
async def rate(request: Request, body: schemas.Rate) -> Response:
    """Set the caller's rating of an insight."""
    user, fields = caller(request).subject, body.model_dump()
    return await post(
        request,
        lambda tx: feedback_service.rate(tx, user_id=user, **fields),
        caching.of_insight(body.insight_id),
        idempotent=True,
    )


@router.post("/comment", responses=documented(schemas.Feedback, examples.FEEDBACK))
async def comment(request: Request, body: schemas.Comment) -> Response:
    """Set the caller's comment on an insight."""
    user, fields = caller(request).subject, body.model_dump()
    return await post(
        request,
        lambda tx: feedback_service.comment(tx, user_id=user, **fields),
        caching.of_insight(body.insight_id),
        idempotent=True,
    )


@router.post("/flag", responses=documented(schemas.Feedback, examples.FLAGGED_FEEDBACK))
async def flag(request: Request, body: schemas.Flag) -> Response:
    """Set the caller's flag on an insight."""
    user, fields = caller(request).subject, body.model_dump()
    return await post(
        request,
        lambda tx: feedback_service.flag(tx, user_id=user, **fields),
        caching.of_insight(body.insight_id),
        idempotent=True,
    )


@router.get("/stats", responses=documented(schemas.FeedbackStats, examples.STATS))
async def stats(request: Request, asked: Annotated[schemas.FeedbackStatsFilter, Query()]) -> Response:
    """Count the feedback on an insight; zeros for one that nobody spoke of."""

    async def read() -> Response:
        return json_response((await feedback_service.get_stats(database(request), asked.insight_id)).json)

    return await cached(request, caching.stats(asked.insight_id), read)


@router.get("/comments", responses=documented(schemas.CommentList, examples.COMMENTS, InvalidCursor))
async def comments(request: Request, asked: Annotated[schemas.CommentFilter, Query()]) -> Response:
    """List the comments on an insight, newest first."""
    call = ListCall(request, "comments", asked.cursor, insight_id=asked.insight_id)
    page = await feedback_service.get_comments(
        database(request), insight_id=asked.insight_id, limit=asked.limit, after=call.after
    )
    return call.response(page, items="comments")


@router.get("/user", responses=documented(schemas.FeedbackList, examples.USER_FEEDBACK, InvalidCursor))
async def user(request: Request, asked: Annotated[schemas.UserFilter, Query()]) -> Response:
    """List the caller's feedback, newest first; with the scope utxoiq:admin also another user's."""
    who = caller(request)
    wanted = asked.user or who.subject
    if wanted != who.subject and not who.may(Scope.UTXOIQ_ADMIN):
        message = f"user: another user's feedback needs the scope {Scope.UTXOIQ_ADMIN}"
        raise Forbidden(message)
    call = ListCall(request, "user_feedback", asked.cursor, user=wanted)
    page = await feedback_service.get_user_feedback(
        database(request), user_id=wanted, limit=asked.limit, after=call.after
    )
    return call.response(page, items="feedback")


@router.get("/flagged", responses=documented(schemas.FlaggedList, examples.FLAGGED))
async def flagged(request: Request, asked: Annotated[schemas.FlaggedFilter, Query()]) -> Response:
    """List insights flagged at least `min_flags` times, most flagged first."""
    found = await feedback_service.get_flagged(database(request), min_flags=asked.min_flags, limit=asked.limit)
    return unpaged_response(found, items="insights")
