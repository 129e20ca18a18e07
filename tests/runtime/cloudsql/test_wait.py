"""Waiting for an operation: what is told meanwhile, and each way that it ends."""

import itertools
import threading
import time
from typing import Any

import pytest

from runtime.cloudsql.client import CloudSqlAdmin
from runtime.cloudsql.errors import (
    NotFoundOrForbiddenError,
    OperationFailedError,
    OperationUnfinishedError,
    UnexpectedAnswerError,
    WaitCancelledError,
)
from runtime.cloudsql.models import Operation
from tests.runtime.cloudsql.scripted import AdminApi, Answer, refused
from tests.runtime.cloudsql.test_calls import OPERATION

NAME = r"operation op-1 \(CREATE\) on instance orders: "


def at(status: str, **others: Any) -> Answer:
    return Answer({**OPERATION, "status": status, **others})


BACKEND = refused(503, "backendError")
FAILED = at(
    "DONE",
    error={
        "kind": "sql#operationErrors",
        "errors": [
            {"kind": "sql#operationError", "code": "ERROR_RDBMS", "message": "system error"},
            {"kind": "sql#operationError", "code": "INTERNAL_ERROR"},
        ],
    },
)


def test_progress_is_told_until_it_is_done(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(at("PENDING"), at("RUNNING"), at("RUNNING"), at("DONE", endTime="2026-11-20T10:05:00Z"))
    told: list[str] = []
    done = client.wait(Operation.model_validate(OPERATION), progress=lambda seen: told.append(seen.status))
    assert told == ["PENDING", "RUNNING", "RUNNING", "DONE"]
    assert done.is_done
    assert done.end_time is not None


def test_one_that_failed_gives_its_causes(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(at("RUNNING"), FAILED)
    with pytest.raises(
        OperationFailedError, match=f"{NAME}failed: ERROR_RDBMS: system error, INTERNAL_ERROR"
    ) as caught:
        client.wait("op-1")
    assert [(one.code, one.message) for one in caught.value.errors] == [
        ("ERROR_RDBMS", "system error"),
        ("INTERNAL_ERROR", ""),
    ]
    assert (caught.value.operation, caught.value.reason) == ("op-1", "ERROR_RDBMS")


def test_the_service_may_be_away_meanwhile(api: AdminApi, client: CloudSqlAdmin) -> None:
    away = [BACKEND, Answer(instead="drop"), Answer(status=502, raw=b"<html>"), refused(429, "rateLimitExceeded")]
    api.says(at("RUNNING"), *away, at("DONE"))
    assert client.within(0).wait("op-1").is_done
    assert len(api.asked) == 6


@pytest.mark.parametrize("answer", [at("RUNNING"), BACKEND, Answer(instead="hang")], ids=["slow", "away", "silent"])
def test_the_deadline_names_the_operation_so_that_it_can_be_resumed(
    answer: Answer, api: AdminApi, client: CloudSqlAdmin
) -> None:
    api.says(forever=itertools.repeat(answer))
    began = time.monotonic()
    with pytest.raises(OperationUnfinishedError, match=f"{NAME}.*after 1 s; it goes on") as caught:
        client.wait(Operation.model_validate(OPERATION), deadline=1)
    assert 0.9 < time.monotonic() - began < 5
    # The pauses grow.
    assert len(api.asked) <= 18
    api.says(at("DONE"))
    assert client.wait(caught.value.operation).is_done


def test_retry_after_is_kept(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(refused(503, "backendError", Retry_After="1"), at("DONE"))
    began = time.monotonic()
    client.wait("op-1")
    assert time.monotonic() - began > 0.9


def test_the_caller_can_stop_waiting(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(forever=itertools.repeat(at("RUNNING")))
    stop = threading.Event()
    with pytest.raises(WaitCancelledError, match=f"{NAME}RUNNING when the waiting was stopped; it goes on") as caught:
        client.wait("op-1", progress=lambda _: stop.set(), cancelled=stop)
    assert caught.value.operation == "op-1"
    assert len(api.asked) == 1


def test_a_stop_ends_a_long_pause(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(refused(503, "backendError", Retry_After="600"))
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(WaitCancelledError):
        client.wait("op-1", cancelled=stop)
    timer.join()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(refused(404, "operationDoesNotExist"), NotFoundOrForbiddenError), (Answer(raw=b"<html>"), UnexpectedAnswerError)],
)
def test_what_waiting_does_not_change_ends_it(
    answer: Answer, kind: type[Exception], api: AdminApi, client: CloudSqlAdmin
) -> None:
    api.says(answer)
    with pytest.raises(kind, match="operation op-1: "):
        client.wait("op-1")
