"""Several users rate, comment and flag one insight, all at the same moment."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from runbooks.demo.client import ApiClient
from runbooks.demo.comparison import Claim, rows
from runtime.systems.utxoiq import schemas

PART = "feedback"
FEEDBACK = "/api/v1/feedback"
RATINGS = range(1, 6)
MEETING_SECONDS = 10.0


@dataclass(frozen=True)
class Opinion:
    """What one user says, in three calls."""

    rating: int
    comment: str
    flag_type: str

    def calls(self) -> dict[str, dict[str, Any]]:
        """Each call's path and body."""
        return {
            "rate": {"rating": self.rating},
            "comment": {"comment": self.comment},
            "flag": {"flag_type": self.flag_type, "flag_reason": f"because: {self.comment}"},
        }


OPINIONS = (
    Opinion(5, "Matches what I saw on chain", "inaccurate"),
    Opinion(4, "It's 100% \"right\"; isn't it?", "misleading"),
    Opinion(4, "Très utile — ₿ 0.0", "inaccurate"),
    Opinion(2, "'; DROP TABLE insight_feedback; --", "spam"),
    Opinion(1, '{"not": "JSON"} \\ %s', "misleading"),
)
CALLS_A_USER = len(OPINIONS[0].calls())


def compare_feedback(url: str, keys: Sequence[str], insight: str, *, advance: Callable[[], None]) -> list[Claim]:
    """Let every user say everything at once, and compare with our own tally.

    Args:
        url: of the API.
        keys: one a user.
        insight: what it is about; the run's own.
        advance: called for each call that is answered.
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(ApiClient(url, key)) for key in keys]
        opinions = OPINIONS[: len(clients)]
        users = _speak(clients, opinions, insight, advance)
        stats = clients[0].get(schemas.FeedbackStats, f"{FEEDBACK}/stats", insight_id=insight)
        return [
            Claim(PART, f"users at once: {len(clients)}", len(clients), len(set(users))),
            Claim(
                PART,
                "ratings, comments, flags",
                _tally(opinions),
                {
                    "ratings": stats.total_ratings,
                    "average": stats.average_rating,
                    "comments": stats.total_comments,
                    "flags": stats.total_flags,
                },
            ),
            Claim(PART, "how often each rating", _distribution(opinions), stats.rating_distribution),
            rows(
                PART,
                "what each user said",
                [(user, *_words(opinion)) for user, opinion in zip(users, opinions, strict=True)],
                [_row(row) for client in clients for row in _own(client, insight)],
            ),
        ]


def _speak(
    clients: Sequence[ApiClient], opinions: Sequence[Opinion], insight: str, advance: Callable[[], None]
) -> list[str]:
    """Make all calls at the same moment.

    Returns:
        The users, as the API calls them.
    """
    together = threading.Barrier(len(clients) * CALLS_A_USER)

    def call(client: ApiClient, path: str, body: dict[str, Any]) -> str:
        together.wait(MEETING_SECONDS)
        user = client.post(schemas.Feedback, f"{FEEDBACK}/{path}", {"insight_id": insight, **body}).user_id
        advance()
        return user

    with ThreadPoolExecutor(together.parties) as pool:
        said = [
            [pool.submit(call, client, path, body) for path, body in opinion.calls().items()]
            for client, opinion in zip(clients, opinions, strict=True)
        ]
        return ["/".join(sorted({answer.result() for answer in answers})) for answers in said]


def _own(client: ApiClient, insight: str) -> list[schemas.Feedback]:
    """What the client's user said of the insight, as the API shows it to that user."""
    pages = client.pages(schemas.FeedbackList, f"{FEEDBACK}/user")
    return [row for page in pages for row in page.feedback if row.insight_id == insight]


def _tally(opinions: Sequence[Opinion]) -> dict[str, float]:
    count = len(opinions)
    average = fmean(opinion.rating for opinion in opinions)
    return {"ratings": count, "average": average, "comments": count, "flags": count}


def _distribution(opinions: Sequence[Opinion]) -> dict[str, int]:
    found = Counter(opinion.rating for opinion in opinions)
    return {str(rating): found[rating] for rating in RATINGS}


def _words(opinion: Opinion) -> tuple[int, str, str, str]:
    return opinion.rating, opinion.comment, opinion.flag_type, f"because: {opinion.comment}"


def _row(row: schemas.Feedback) -> tuple[str, int | None, str | None, str | None, str | None]:
    return row.user_id, row.rating, row.comment, row.flag_type, row.flag_reason
