"""Alerts on logs against the entries that Google documents, and against what a real PostgreSQL writes."""

import re
from collections.abc import Iterator

import psycopg2
import pytest

from runtime.settings import OWNER_ROLE
from tests.contract import entries
from tests.contract.log_filter import matches
from tests.contract.plans import planned
from tests.contract.reading import log_filters
from tests.infra.test_database_flags import POSTGRESQLS
from tests.runbooks.sandbox.engine.clusters import clusters_in
from tests.waiting import wait_until


def filters() -> dict[str, str]:
    return {
        name.removeprefix("holdfast-"): text
        for name, text in log_filters(planned("prod", resolve=True).resources).items()
    }


DATABASE = re.compile(r'database_id="([^"]+)"')


@pytest.mark.parametrize("name", entries.TOLD)
def test_an_alert_on_a_log_is_told_what_it_is_about_and_nothing_else(name: str) -> None:
    text = filters()[name]
    assert [matches(text, one) for one in entries.TOLD[name]] == [True] * len(entries.TOLD[name])
    assert [matches(text, one) for one in entries.UNTOLD[name]] == [False] * len(entries.UNTOLD[name])


def test_a_failed_backup_is_told_and_one_that_succeeded_is_not() -> None:
    text = filters()["backup-failed"]
    (database,) = DATABASE.findall(text)
    for status in ("FAILED", "ATTEMPT_FAILED", "SKIPPED"):
        assert matches(text, entries.backup(f"STATUS_{status}", database))
    assert not matches(text, entries.backup("STATUS_SUCCEEDED", database))
    assert not matches(text, entries.backup("STATUS_FAILED", "holdfast-prod:verification"))


def test_a_person_who_reads_a_secret_is_told_of_only_where_reads_are_logged() -> None:
    assert "holdfast-secret-read" in log_filters(planned("prod", resolve=True).resources)
    assert "holdfast-secret-read" not in log_filters(planned("dev", resolve=True).resources)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What a real PostgreSQL with our flags writes: logins as several, one of them with a wrong password."""
    with clusters_in(tmp_path_factory.mktemp("logins")) as clusters:
        cluster = clusters.running("logins", **POSTGRESQLS)
        for login in ("postgres", OWNER_ROLE, "holdfast_reader_a"):
            cluster.execute(f"CREATE ROLE {login} LOGIN")
        cluster.execute("CREATE ROLE someone LOGIN PASSWORD 'right'")
        hba = cluster.data / "pg_hba.conf"
        hba.write_text(
            "host all someone 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\nlocal all all trust\n"
        )
        cluster.execute("SELECT pg_reload_conf()")
        wait_until(lambda: cluster.execute("SELECT count(*) FROM pg_hba_file_rules") == [(3,)])
        where = {"host": "127.0.0.1", "port": cluster.port, "dbname": "postgres"}
        for login in ("postgres", OWNER_ROLE, "holdfast_reader_a", "cloudsqladmin"):
            psycopg2.connect(user=login, **where).close()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(user="someone", password="wrong", **where)
        log = cluster.log
        wait_until(lambda: "authentication failed" in log.read_text(encoding="utf-8"))
        yield log.read_text(encoding="utf-8").splitlines()


def told(name: str, lines: list[str]) -> list[str]:
    text = filters()[name]
    (database,) = DATABASE.findall(text)
    return [line for line in lines if matches(text, entries.postgresql(line, database))]


def test_a_login_as_owner_or_postgres_is_told_and_no_other(lines: list[str]) -> None:
    found = told("owner-login", lines)
    assert [re.findall(r"authorized: user=(\S+)", line) for line in found] == [["postgres"], [OWNER_ROLE]]
    assert any("authorized: user=cloudsqladmin" in line for line in lines)


def test_a_failed_login_is_counted_once(lines: list[str]) -> None:
    (found,) = told("failed-logins", lines)
    assert 'password authentication failed for user "someone"' in found
    # Cloud SQL's own words, https://cloud.google.com/sql/docs/postgres/debugging-connectivity.
    iam = 'FATAL:  Cloud SQL IAM service account authentication failed for user "holdfast-api@holdfast-prod.iam"'
    assert told("failed-logins", [iam]) == [iam]
