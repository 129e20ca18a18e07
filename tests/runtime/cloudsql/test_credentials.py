"""Whose token goes where, and that it goes nowhere else."""

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.credentials import Credentials as Token
from pydantic import SecretStr
from structlog.testing import capture_logs

from runtime.cloudsql import transport
from runtime.cloudsql.client import ANONYMOUS, CloudSqlAdmin, credentials_for
from runtime.cloudsql.errors import CloudSqlError, CredentialsRefusedError
from runtime.errors import ConfigurationError
from tests.runtime.cloudsql.scripted import AdminApi, Answer, refused
from tests.runtime.cloudsql.test_calls import INSTANCE, OPERATION

SECRET = "a-secret-of-the-user"
TOKEN = "ya29.a0-the-token_of/this+test"


class Failing(Credentials):
    """Credentials whose tokens come after these failures."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self._failures = list(failures)

    def refresh(self, _request: Any) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.token = TOKEN


def test_the_token_is_sent_and_is_in_no_log_and_no_message(
    api: AdminApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # google-auth shows what it sends to whoever debugs it, by its own handlers.
    monkeypatch.setattr(logging.getLogger("google"), "handlers", [caplog.handler])
    caplog.set_level(logging.DEBUG, logger="google")
    caplog.set_level(logging.DEBUG)
    # As nobody has configured it: an earlier test's API logs errors only.
    everything = structlog.make_filtering_bound_logger(logging.DEBUG)
    monkeypatch.setattr(transport, "log", structlog.wrap_logger(None, wrapper_class=everything))
    api.says(
        refused(503, "backendError", f"Bearer {TOKEN}"),
        Answer(instead="drop"),
        Answer(INSTANCE),
        refused(400, "invalidRequest", f"Authorization: Bearer {TOKEN} is\nwrong {'x' * 5000}"),
    )
    with (
        capture_logs() as ours,
        CloudSqlAdmin("shop", credentials=Token(TOKEN), endpoint=api.url, patience=20) as client,
    ):
        client.instances.get("orders")
        with pytest.raises(CloudSqlError) as caught:
            client.users.update("orders", "app", password=SecretStr(SECRET))
    assert [one.headers["authorization"] for one in api.asked] == [f"Bearer {TOKEN}"] * 4
    assert len(ours) == 2
    assert ours[0]["about"] == "instance orders"
    assert "Making request..." in caplog.text
    google = [str(vars(record)) for record in caplog.records]
    said = "".join(
        [caplog.text, *google, str(ours), *traceback.format_exception(caught.value), repr(vars(caught.value))]
    )
    assert "user app of instance orders: Authorization: Bearer … is wrong x" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert TOKEN not in said
    assert SECRET not in said


def test_a_loopback_address_gets_no_credentials_and_none_are_looked_for(
    api: AdminApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    metadata = AdminApi()
    monkeypatch.setenv("GCE_METADATA_HOST", metadata.url.removeprefix("http://"))
    monkeypatch.delenv("NO_GCE_CHECK", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "not-there.json"))
    api.says(Answer(INSTANCE))
    with CloudSqlAdmin("shop", credentials=credentials_for(api.url), endpoint=api.url) as client:
        client.instances.get("orders")
    metadata.close()
    assert api.asked[0].headers["authorization"] == f"Bearer {ANONYMOUS}"
    assert metadata.asked == []


def test_a_loopback_address_is_not_reached_through_a_proxy_nor_with_netrc(
    api: AdminApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    api.says(Answer(INSTANCE))
    with CloudSqlAdmin("shop", credentials=credentials_for(api.url), endpoint=f"{api.url}/", patience=0) as client:
        client.instances.get("orders")
    assert api.asked[0].headers["authorization"] == f"Bearer {ANONYMOUS}"


def test_without_credentials_it_says_where_to_get_them() -> None:
    with pytest.raises(CredentialsRefusedError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        credentials_for(None)


@pytest.mark.parametrize(
    "endpoint", ["http://sqladmin.example", "http://127.0.0.1@evil.example", "ftp://127.0.0.1", "sqladmin", "http://"]
)
def test_an_address_that_would_give_the_token_away_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="CLOUD_SQL_ADMIN_ENDPOINT"):
        CloudSqlAdmin("shop", credentials=Token(TOKEN), endpoint=endpoint)


def test_a_token_that_does_not_come_at_once_is_asked_for_again(api: AdminApi) -> None:
    api.says(Answer(OPERATION))
    credentials = Failing(TransportError("refused"), RefreshError("503", retryable=True))
    with CloudSqlAdmin("shop", credentials=credentials, endpoint=api.url, patience=20) as client:
        client.instances.restart("orders")
    assert api.asked[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_credentials_that_google_refuses_end_it_at_once(api: AdminApi) -> None:
    credentials = Failing(RefreshError("invalid_grant: s3cret"))
    with (
        CloudSqlAdmin("shop", credentials=credentials, endpoint=api.url, patience=20) as client,
        pytest.raises(CredentialsRefusedError, match="instance orders: no access token") as caught,
    ):
        client.instances.restart("orders")
    assert "s3cret" not in str(caught.value)
    assert api.asked == []
