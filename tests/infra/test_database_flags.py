"""The database's flags: what the rules ask for, in writing, and that a real PostgreSQL takes them."""

from collections.abc import Iterator

import pytest

from infra.config import load
from infra.database_flags import DEFAULTS, FLAGS, SUPPORTED
from runbooks.sandbox.engine.cluster import Cluster
from tests.runbooks.sandbox.engine.clusters import clusters_in

# Of the rules that ask for another value.
WAIVED = {"log_min_duration_statement"}
ASKED = {
    *("CIS 6.2.1", "CIS 6.2.2", "CIS 6.2.3", "CIS 6.2.4", "CIS 6.2.5", "CIS 6.2.6", "CIS 6.2.7", "CIS 6.2.8"),
    *(f"CKV_GCP_{number}" for number in (51, 52, 53, 54, 55, 56, 57, 108, 109, 110, 111)),
    *(f"CKV2_GCP_{number}" for number in (14, 15, 16, 17)),
}
POSTGRESQLS = {flag.name: flag.value for flag in FLAGS if not flag.is_googles}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters_in(tmp_path_factory.mktemp("flags")) as clusters:
        yield clusters.running("flagged", **POSTGRESQLS)


def test_a_real_postgresql_has_them_in_force(cluster: Cluster) -> None:
    for name, value in POSTGRESQLS.items():
        assert cluster.execute(f"SHOW {name}") == [("200ms" if name == "log_min_duration_statement" else value,)], name


def test_what_a_stack_may_set_is_known_to_postgresql(cluster: Cluster) -> None:
    known = {name for (name,) in cluster.execute("SELECT name FROM pg_settings")}
    assert {name for name in SUPPORTED if "." not in name} <= known


def test_what_postgresql_does_not_know_is_googles(cluster: Cluster) -> None:
    known = {name for (name,) in cluster.execute("SELECT name FROM pg_settings")}
    googles = {flag.name for flag in FLAGS if flag.is_googles}
    assert googles == {"cloudsql.iam_authentication", "cloudsql.enable_pgaudit", "pgaudit.log"}
    assert not googles & known


def test_every_rule_is_met_or_waived_in_writing() -> None:
    assert {rule for flag in FLAGS for rule in flag.rules} == ASKED
    assert {flag.name for flag in FLAGS if flag.waiver} == WAIVED
    assert all(flag.why for flag in FLAGS)


def test_each_flag_is_there_once() -> None:
    assert len(DEFAULTS) == len(FLAGS)
    assert not SUPPORTED & DEFAULTS.keys()


def test_pgaudit_is_told_what_to_log() -> None:
    assert DEFAULTS["cloudsql.enable_pgaudit"] == "on"
    assert DEFAULTS["pgaudit.log"] not in {"", "none"}


def test_every_stack_has_them() -> None:
    flags = {"work_mem": 8192}
    given = {"project": "holdfast-dev", "production": False, "service": {"load_balancer": False}}
    assert load({**given, "database": {"flags": flags}}).database.all_flags == {**DEFAULTS, "work_mem": "8192"}
