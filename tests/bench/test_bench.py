"""`make bench`, too small to mean anything: it runs, compares like with like, and says what it found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.answers import DifferentAnswersError, ensure_same, from_ours
from tests.running import clean_environment

ROOT = Path(__file__).parents[2]
SANDBOX = {"sandbox_boot_s", "failover_s", "clone_s", "backup_s"}
PROCEDURES = {"procedure_overhead_ms", "procedure_plain_us"}
RECORDS = {
    *("api_p95_ms", "query_p95_ms", "db_qps", "startup_ms", "rss_mb", "cache_hit_ms", "cache_hit_rate"),
    *SANDBOX,
    *PROCEDURES,
}
WANTED = {
    *("list_vs_plain", "point_vs_plain", "list_row_cost", "ingest_vs_copy", "api_p95_ms", "db_qps", "rss_mb"),
    *("pitr_vs_raw_tools", *SANDBOX, *PROCEDURES),
}


def test_a_run_prints_one_object_of_figures_with_their_ratios() -> None:
    # It ends with an error when ours and the plain application answer differently, an answer under load fails, or what
    # was recovered is not what was there.
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--smoke", "--json"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() >= WANTED
    for name, figures in found.items():
        assert figures.keys() == {"ours", "peer", "ratio", "unit"}
        assert figures["unit"]
        if name in RECORDS:
            assert figures["peer"] is figures["ratio"] is None
        else:
            assert figures["ratio"] == pytest.approx(figures["ours"] / figures["peer"], abs=0.01)
            assert figures["ratio"] > 0


def test_the_same_rows_may_be_written_differently() -> None:
    ours = {"experiment": {"id": "a", "created_at": "2026-01-01T00:00:00+00:00"}, "optimization_run": None}
    theirs = {"id": "a", "created_at": "2026-01-01T00:00:00Z", "optimization_run": None}
    ensure_same("it", from_ours(ours), theirs)


@pytest.mark.parametrize("theirs", [[], [{"id": "b"}], [{"id": "a", "more": 1}], [{"id": "a"}, {"id": "b"}]])
def test_other_rows_are_no_comparison(theirs: list[dict[str, object]]) -> None:
    with pytest.raises(DifferentAnswersError, match="it answers otherwise"):
        ensure_same("it", from_ours({"experiments": [{"id": "a"}]}), theirs)
