"""What is sent again, and what never is."""

import datetime as dt
import email.utils
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from runbooks.local.ports import HOST, free_port
from runtime.cloudsql.client import CloudSqlAdmin, credentials_for
from runtime.cloudsql.errors import (
    AlreadyExistsError,
    CloudSqlError,
    CredentialsRefusedError,
    InvalidRequestError,
    NotFoundOrForbiddenError,
    OperationInProgressError,
    OutcomeUnknownError,
    QuotaExceededError,
    StaleDataError,
    UnavailableError,
    UnexpectedAnswerError,
)
from tests.conftest import PASSWORD
from tests.runtime.cloudsql.scripted import AdminApi, Answer, refused
from tests.runtime.cloudsql.test_calls import INSTANCE, OPERATION
from tests.waiting import wait_until

PROXY = Answer(status=503, raw=b"<html>no healthy upstream</html>", headers={"Content-Type": "text/html"})
BUSY = refused(409, "operationInProgress", "Operation failed because another operation was already in progress.")
STALE = refused(412, "staleData")


def instance_of(version: int) -> Answer:
    settings: Any = INSTANCE["settings"]
    return Answer({**INSTANCE, "settings": {**settings, "settingsVersion": str(version)}})


def restart(sql: CloudSqlAdmin) -> object:
    return sql.instances.restart("orders")


def get(sql: CloudSqlAdmin) -> object:
    return sql.instances.get("orders")


@pytest.mark.parametrize(
    "refusal",
    [BUSY, refused(429, "rateLimitExceeded"), refused(503, "backendError"), refused(403, "userRateLimitExceeded")],
    ids=["409", "429", "503", "403"],
)
@pytest.mark.parametrize(("call", "answer"), [(restart, OPERATION), (get, INSTANCE)], ids=["change", "read"])
def test_what_the_service_did_not_begin_is_sent_again(
    refusal: Answer, call: Callable[[CloudSqlAdmin], Any], answer: Any, api: AdminApi, client: CloudSqlAdmin
) -> None:
    api.says(refusal, refusal, Answer(answer))
    assert call(client).name in {"op-1", "orders"}
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refused(400, "invalidRequest"), InvalidRequestError),
        (refused(400, "errorBackupNotFound"), InvalidRequestError),
        (Answer({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, 400), InvalidRequestError),
        (refused(401, "authError"), CredentialsRefusedError),
        (refused(403, "notAuthorized"), NotFoundOrForbiddenError),
        (refused(403, "quotaExceeded"), QuotaExceededError),
        (refused(404, "notFound"), NotFoundOrForbiddenError),
        (refused(409, "instanceAlreadyExists"), AlreadyExistsError),
        (refused(409, "invalidState"), InvalidRequestError),
        (refused(501, "notImplemented"), InvalidRequestError),
        (Answer(status=400, raw=b"<html>"), InvalidRequestError),
        (Answer(status=403, raw=b""), NotFoundOrForbiddenError),
        (Answer({"error": "a word"}, 404), NotFoundOrForbiddenError),
        (Answer({"error": {"errors": [None], "message": None}}, 409), InvalidRequestError),
        (Answer(status=304, raw=b""), UnexpectedAnswerError),
    ],
)
@pytest.mark.parametrize("call", [restart, get], ids=["change", "read"])
def test_what_another_try_would_not_change_is_refused_at_once(
    refusal: Answer,
    kind: type[CloudSqlError],
    call: Callable[[CloudSqlAdmin], Any],
    api: AdminApi,
    client: CloudSqlAdmin,
) -> None:
    api.says(refusal)
    with pytest.raises(CloudSqlError, match="instance orders: ") as caught:
        call(client)
    assert type(caught.value) is kind
    assert len(api.asked) == 1


def test_the_error_tells_googles_words_and_what_to_do(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(refused(403, "notAuthorized", "The client is not authorized to make this request."))
    with pytest.raises(NotFoundOrForbiddenError) as caught:
        get(client)
    assert str(caught.value) == (
        "instance orders: The client is not authorized to make this request; check its name and project, "
        "and that this identity has roles/cloudsql.admin there"
    )
    assert (caught.value.status, caught.value.reason) == (403, "notAuthorized")


@pytest.mark.parametrize("broken", [PROXY, refused(500, "internalError"), Answer(instead="drop")])
def test_a_read_is_sent_again_after_every_failure(broken: Answer, api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(broken, broken, Answer(INSTANCE))
    assert client.instances.get("orders").name == "orders"


@pytest.mark.parametrize("broken", [PROXY, refused(500, "internalError"), Answer(instead="drop")])
def test_a_change_that_may_have_begun_is_not_sent_again(broken: Answer, api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(broken, Answer(OPERATION))
    with pytest.raises(OutcomeUnknownError, match=r"instance orders.*list the instance's operations"):
        restart(client)
    assert len(api.asked) == 1


def test_no_change_is_sent_on_a_connection_that_the_server_may_be_closing(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(*[Answer(OPERATION)] * 5)
    for _ in range(5):
        restart(client)
    assert len(api.callers) == 5


def test_a_change_that_reached_nobody_did_not_begin() -> None:
    url = f"http://{HOST}:{free_port()}"
    with (
        CloudSqlAdmin("shop", credentials=credentials_for(url), endpoint=url, patience=0.5) as client,
        pytest.raises(UnavailableError) as caught,
    ):
        restart(client)
    assert type(caught.value) is UnavailableError


@pytest.mark.parametrize("call", [restart, get], ids=["change", "read"])
def test_a_server_that_accepts_and_never_answers(call: Callable[[CloudSqlAdmin], Any], api: AdminApi) -> None:
    api.says(forever=itertools.repeat(Answer(instead="hang")))
    began = time.monotonic()
    with (
        CloudSqlAdmin(
            "shop", credentials=credentials_for(api.url), endpoint=api.url, patience=0, request_timeout=0.2
        ) as client,
        pytest.raises(UnavailableError, match="instance orders: the Cloud SQL Admin API does not answer") as caught,
    ):
        call(client)
    assert isinstance(caught.value, OutcomeUnknownError) == (call is restart)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_is_kept(as_date: bool, api: AdminApi, client: CloudSqlAdmin) -> None:  # noqa: FBT001  # a parameter
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    api.says(
        refused(503, "backendError", Retry_After=email.utils.format_datetime(moment, usegmt=True) if as_date else "1"),
        Answer(OPERATION),
    )
    began = time.monotonic()
    restart(client)
    assert time.monotonic() - began > 0.9


@pytest.mark.parametrize("header", ["soon", "-1", "²", "1.5", ""])
def test_a_retry_after_without_sense_is_not_minded(header: str, api: AdminApi, client: CloudSqlAdmin) -> None:
    # As bytes on the wire: latin-1.
    api.says(refused(503, "backendError", Retry_After=header), Answer(OPERATION))
    restart(client)


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(refused(429, "rateLimitExceeded", Retry_After="3600"))
    began = time.monotonic()
    with pytest.raises(QuotaExceededError) as caught:
        restart(client)
    assert caught.value.retry_after == 3600
    assert time.monotonic() - began < 5


def test_patience_ends(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(forever=itertools.repeat(BUSY))
    began = time.monotonic()
    with pytest.raises(OperationInProgressError, match=r"instance orders.*when the running one has ended"):
        restart(client.within(1))
    assert time.monotonic() - began < 5
    tries = len(api.asked)
    assert tries > 1
    with pytest.raises(OperationInProgressError):
        restart(client.within(0))
    assert len(api.asked) == tries + 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"<html>sign in</html>",
        b"",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"name": ["s3cret"]}',
        b'{"name": "a", "settings": {"settingsVersion": "s3cret"}}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("call", [restart, get], ids=["change", "read"])
def test_garbage_is_named_and_not_repeated(
    garbage: bytes, call: Callable[[CloudSqlAdmin], Any], api: AdminApi, client: CloudSqlAdmin
) -> None:
    if call is restart and garbage.startswith(b'{"name": "a"'):
        garbage = b'{"name": "a", "insertTime": "s3cret"}'
    api.says(Answer(raw=garbage))
    with pytest.raises(UnexpectedAnswerError, match=r"instance orders: .*CLOUD_SQL_ADMIN_ENDPOINT") as caught:
        call(client)
    assert "s3cret" not in str(caught.value)
    assert len(api.asked) == 1


def test_a_patch_that_met_another_writer_is_sent_with_the_present_version(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(STALE, instance_of(8), STALE, instance_of(9), Answer(OPERATION))
    client.instances.patch("orders", tier="db-f1-micro")
    assert [one.method for one in api.asked] == ["PATCH", "GET", "PATCH", "GET", "PATCH"]
    sent = [one.body["settings"].get("settingsVersion") for one in api.asked if one.body]
    assert sent == [None, "8", "9"]


def test_a_failover_reads_the_version_and_reads_it_again_when_it_is_stale(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(instance_of(7), STALE, instance_of(8), Answer(OPERATION))
    client.instances.failover("orders")
    assert [one.body["failoverContext"]["settingsVersion"] for one in api.asked if one.body] == ["7", "8"]


def test_an_update_is_made_anew_of_what_another_writer_left(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(instance_of(7), STALE, instance_of(8), instance_of(8), Answer(OPERATION))

    def change(instance: dict[str, Any]) -> dict[str, Any]:
        return {**instance, "settings": {**instance["settings"], "tier": "db-f1-micro"}}

    client.instances.update("orders", change)
    sent = [one for one in api.asked if one.method == "PUT"]
    assert [one.body["settings"]["settingsVersion"] for one in sent] == ["7", "8"]
    assert all(one.body["settings"]["userLabels"] == {"purpose": "shop"} for one in sent)
    assert sent[-1].body["settings"]["tier"] == "db-f1-micro"


@pytest.mark.parametrize("change", ["patch", "failover"])
def test_a_version_that_the_caller_relies_on_is_not_replaced(change: str, api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(STALE)
    with pytest.raises(StaleDataError, match="instance orders"):
        getattr(client.instances, change)("orders", settings_version=7)
    assert len(api.asked) == 1


def test_a_version_that_is_always_stale_ends(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(instance_of(7), forever=itertools.cycle([STALE, instance_of(8)]))
    with pytest.raises(StaleDataError):
        client.instances.failover("orders")
    assert [one.method for one in api.asked].count("POST") == 5


def test_a_redirect_is_not_followed(api: AdminApi, client: CloudSqlAdmin) -> None:
    elsewhere = AdminApi()
    api.says(Answer(status=307, raw=b"", headers={"Location": elsewhere.url}))
    with pytest.raises(UnexpectedAnswerError, match="HTTP 307"):
        get(client)
    elsewhere.close()
    assert elsewhere.asked == []


def test_a_call_waits_while_nobody_listens_yet() -> None:
    port = free_port()
    url = f"http://{HOST}:{port}"
    with (
        ThreadPoolExecutor() as pool,
        CloudSqlAdmin("shop", credentials=credentials_for(url), endpoint=url, patience=20) as client,
    ):
        sent = pool.submit(restart, client)
        assert not sent.done()
        api = AdminApi(Answer(OPERATION), port=port)
        wait_until(sent.done)
        api.close()
        sent.result()
    assert api.faults == []


def test_a_password_is_in_no_message(api: AdminApi, client: CloudSqlAdmin) -> None:
    api.says(refused(400, "invalidRequest"))
    with pytest.raises(InvalidRequestError, match="user app of instance orders") as caught:
        client.users.insert("orders", "app", password=SecretStr(PASSWORD))
    assert PASSWORD not in str(caught.value)
