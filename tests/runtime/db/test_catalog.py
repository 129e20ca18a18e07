"""The tables as they really are, against what the source documents ask for, with the differences on purpose."""

import datetime as dt
import runpy
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from runtime.db.metadata import metadata
from tests.running import ROOT

# Column, type, `?` when it may be null; `=` what the database puts in. Differences from the sources: timestamptz for
# TIMESTAMP, varchar with a check for ENUM, float for FLOAT (both are 8 bytes), numeric for money. `+` marks columns
# that the sources lack.
COLUMNS = {
    # Source 000.
    "experiments": """
        id                   varchar(255)
        name                 varchar(255)
        description          text ?
        status               varchar(20)   = 'pending'
        parameters           jsonb         = '{}'
        config               jsonb         = '{}'
        result_value         float ?
        result_data          jsonb ?
        result_uri           varchar(512) ?
        created_at           timestamptz   = now()
        started_at           timestamptz ?
        completed_at         timestamptz ?
        created_by           varchar(255) ?
        optimization_run_id  varchar(255) ?
    """,
    "optimization_runs": """
        id                   varchar(255)
        name                 varchar(255)
        description          text ?
        method               varchar(50)
        objective            varchar(255)
        search_space         jsonb         = '{}'
        config               jsonb         = '{}'
        num_experiments      integer       = 0
        best_value           float ?
        best_experiment_id   varchar(255) ?
        status               varchar(20)   = 'pending'
        created_at           timestamptz   = now()
        started_at           timestamptz ?
        completed_at         timestamptz ?
        created_by           varchar(255) ?
    """,
    "ai_queries": """
        id                   varchar(255)
        query_text           text
        context              jsonb         = '{}'
        flash_response       jsonb ?
        pro_response         jsonb ?
        selected_model       varchar(50)
        flash_latency_ms     float ?
        pro_latency_ms       float ?
        flash_tokens         integer ?
      + flash_input_tokens   integer ?
      + flash_output_tokens  integer ?
        pro_tokens           integer ?
      + pro_input_tokens     integer ?
      + pro_output_tokens    integer ?
        estimated_cost_usd   numeric(18,9) ?
      + price_version        varchar(32) ?
        created_at           timestamptz   = now()
        created_by           varchar(255) ?
        experiment_id        varchar(255) ?
    """,
    "noise_estimates": """
        id                         varchar(255)
        method                     varchar(100)
        noise_std                  float
        confidence_interval_lower  float
        confidence_interval_upper  float
        sample_size                integer
        reliable                   boolean
        pilot_data                 jsonb
        created_at                 timestamptz = now()
        optimization_run_id        varchar(255) ?
    """,
    "routing_decisions": """
        id                   varchar(255)
        selected_method      varchar(50)
        confidence           float
        reasoning            text
        threshold_used       float ?
        alternatives         jsonb         = '[]'
        warnings             jsonb         = '[]'
        created_at           timestamptz   = now()
        noise_estimate_id    varchar(255) ?
        optimization_run_id  varchar(255) ?
    """,
    # Source 002.
    "backfill_jobs": """
        id                    uuid          = uuid7()
        job_type              varchar(50)
        start_block           integer
        end_block             integer
        current_block         integer
        status                varchar(20)   = 'running'
        progress_percentage   float         = computed
        estimated_completion  timestamptz ?
        error_message         text ?
        started_at            timestamptz   = now()
        completed_at          timestamptz ?
        created_by            varchar(100) ?
      + lease_owner           varchar(100) ?
      + lease_expires_at      timestamptz ?
      + fencing_token         bigint        = 0
      + attempt               integer       = 0
    """,
    "insight_feedback": """
        id           uuid          = uuid7()
        insight_id   varchar(100)
        user_id      varchar(100)
        rating       integer ?
        comment      text ?
        flag_type    varchar(50) ?
        flag_reason  text ?
        created_at   timestamptz   = now()
        updated_at   timestamptz   = now()
    """,
    "system_metrics": """
        id               uuid          = uuid7()
        service_name     varchar(100)
        metric_type      varchar(50)
        metric_value     float
        unit             varchar(20)
        timestamp        timestamptz   = now()
        metric_metadata  jsonb ?
    """,
}

# Table → index → columns; those that the sources name, and under `+` ours.
INDEXES: dict[str, dict[str, str]] = {
    "experiments": {
        "idx_experiments_status": "status",
        "idx_experiments_created_at": "created_at",
        "idx_experiments_optimization_run": "optimization_run_id",
        "+ idx_experiments_run_result": "optimization_run_id, result_value",
    },
    "optimization_runs": {
        "idx_optimization_runs_method": "method",
        "idx_optimization_runs_status": "status",
        "idx_optimization_runs_created_at": "created_at",
        "+ idx_optimization_runs_best_experiment": "best_experiment_id",
    },
    "ai_queries": {
        "idx_ai_queries_created_at": "created_at",
        "idx_ai_queries_selected_model": "selected_model",
        "+ idx_ai_queries_experiment": "experiment_id",
    },
    "noise_estimates": {
        "idx_noise_estimates_created_at": "created_at",
        "idx_noise_estimates_method": "method",
        "+ idx_noise_estimates_optimization_run": "optimization_run_id",
    },
    "routing_decisions": {
        "idx_routing_decisions_method": "selected_method",
        "idx_routing_decisions_created_at": "created_at",
        "+ idx_routing_decisions_noise_estimate": "noise_estimate_id",
        "+ idx_routing_decisions_optimization_run": "optimization_run_id",
    },
    "backfill_jobs": {
        "idx_backfill_status": "status",
        "idx_backfill_started": "started_at",
        "idx_backfill_job_type": "job_type",
    },
    "insight_feedback": {
        "idx_feedback_insight": "insight_id",
        "idx_feedback_user": "user_id",
        "idx_feedback_created": "created_at",
        "uq_insight_user_feedback": "insight_id, user_id",
    },
    "system_metrics": {
        "idx_metrics_service_time": "service_name, timestamp",
        "idx_metrics_type_time": "metric_type, timestamp",
        "idx_metrics_timestamp": "timestamp",
    },
}

KEYS = dict.fromkeys(COLUMNS, "id") | {"system_metrics": "id, timestamp"}

# Who refers to whom, and what a deletion does: n sets null, a refuses.
REFERENCES = {
    ("experiments", "optimization_run_id", "optimization_runs", "a"),
    ("optimization_runs", "best_experiment_id", "experiments", "n"),
    ("ai_queries", "experiment_id", "experiments", "n"),
    ("noise_estimates", "optimization_run_id", "optimization_runs", "n"),
    ("routing_decisions", "noise_estimate_id", "noise_estimates", "n"),
    ("routing_decisions", "optimization_run_id", "optimization_runs", "n"),
    ("api_keys", "principal_id", "principals", "a"),
}

SHORT = {"character varying": "varchar", "double precision": "float", "timestamp with time zone": "timestamptz"}


def expected_columns(table: str) -> list[tuple[str, str, bool, str]]:
    rows = []
    for line in COLUMNS[table].strip().splitlines():
        declared, _, default = line.removeprefix("      + ").partition("=")
        name, kind, *optional = declared.split()
        rows.append((name, kind, optional == ["?"], default.strip()))
    return rows


@pytest.mark.parametrize("table", COLUMNS)
def test_a_tables_columns_are_the_sources(table: str, connection: Connection) -> None:
    found = connection.execute(
        text(
            "SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull, "
            "CASE WHEN attgenerated <> '' THEN 'computed' "
            "ELSE coalesce(regexp_replace(pg_get_expr(adbin, adrelid), '::[a-z ]+', ''), '') END "
            "FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
            "WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ),
        {"table": table},
    )
    columns = []
    for name, kind, optional, default in found:
        short = kind
        for long, abbreviation in SHORT.items():
            short = short.replace(long, abbreviation)
        columns.append((name, short, optional, default))
    assert columns == expected_columns(table)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_tables_indexes_are_the_sources(table: str, connection: Connection) -> None:
    found = connection.execute(
        text(
            "SELECT i.relname, string_agg(attname, ', ' ORDER BY place), indisprimary, indisvalid FROM pg_index "
            "JOIN pg_class i ON i.oid = indexrelid, unnest(indkey) WITH ORDINALITY AS k (number, place) "
            "JOIN pg_attribute ON attnum = number WHERE attrelid = indrelid AND indrelid = to_regclass(:table) "
            "GROUP BY 1, 3, 4"
        ),
        {"table": table},
    ).all()
    assert {name: columns for name, columns, primary, _ in found if not primary} == {
        name.removeprefix("+ "): columns for name, columns in INDEXES[table].items()
    }
    assert [(name, columns) for name, columns, primary, _ in found if primary] == [(f"pk_{table}", KEYS[table])]
    assert all(valid for *_, valid in found)


def test_references_are_these_and_each_has_an_index(connection: Connection) -> None:
    found = connection.execute(
        text(
            "SELECT conrelid::regclass::text, attname, confrelid::regclass::text, confdeltype, EXISTS "
            "(SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = attnum AND indpred IS NULL) "
            "FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] WHERE contype = 'f'"
        )
    ).all()
    assert {tuple(row)[:4] for row in found} == REFERENCES
    assert all(indexed for *_, indexed in found)


def test_the_metrics_are_partitioned_by_their_moment(connection: Connection) -> None:
    assert connection.scalar(text("SELECT pg_get_partkeydef('system_metrics'::regclass)")) == 'RANGE ("timestamp")'


def test_the_database_has_the_models_tables_and_their_partitions_and_no_other(connection: Connection) -> None:
    found = set(
        connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition "
                "AND relnamespace = 'public'::regnamespace AND NOT EXISTS "
                "(SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')"
            )
        )
    )
    assert found == {*metadata.tables, "alembic_version"}
    assert found == {
        *COLUMNS,
        "principals",
        "api_keys",
        "audit_log",
        "alembic_version",
        "cache_trust",
        "idempotency_keys",
        "recovery_markers",
        "backup_verifications",
    }


# --- What is refused -------------------------------------------------------------------------------------------------

END = "2026-01-15T14:00:00+00:00"
NAN, INFINITY, MINUS_INFINITY = (float(word) for word in ("nan", "inf", "-inf"))

ROWS: dict[str, dict[str, Any]] = {
    "experiments": {"id": "e", "name": "n"},
    "optimization_runs": {"id": "r", "name": "n", "method": "other", "objective": "minimize"},
    "ai_queries": {"id": "q", "query_text": "?", "selected_model": "flash"},
    "noise_estimates": {
        "id": "n",
        "method": "residuals",
        "noise_std": 0.0,
        "confidence_interval_lower": 0.0,
        "confidence_interval_upper": 0.0,
        "sample_size": 2,
        "reliable": False,
        "pilot_data": "{}",
    },
    "routing_decisions": {"id": "d", "selected_method": "other", "confidence": 0.0, "reasoning": ""},
    "backfill_jobs": {"job_type": "blocks", "start_block": 0, "end_block": 9, "current_block": -1},
    "insight_feedback": {"insight_id": "i", "user_id": "u", "rating": 5},
    "system_metrics": {"service_name": "s", "metric_type": "t", "metric_value": -0.0, "unit": "u"},
    # Its one row is there.
    "cache_trust": {},
    "idempotency_keys": {
        "principal_id": str(uuid.UUID(int=0)),
        "key": "k",
        "fingerprint": b"\0" * 32,
        "status": 204,
        "answer": b"",
    },
    "recovery_markers": {"written_at": END},
    "backup_verifications": {
        "instance": "i",
        "started_at": END,
        "verdict": "passed",
        "codes": [],
        "measures": "{}",
        "verified_by": "v",
    },
    "api_keys": {"principal_id": str(uuid.UUID(int=0)), "prefix": "p", "digest": b"\0" * 32, "scopes": ["ard:read"]},
}

Change = dict[str, Any]
REFUSED: list[tuple[str, Change, str]] = [
    *[
        (table, {column: value}, f"ck_{table}_{column}_finite")
        for table, column in [
            ("experiments", "result_value"),
            ("optimization_runs", "best_value"),
            ("routing_decisions", "threshold_used"),
            ("system_metrics", "metric_value"),
        ]
        for value in (NAN, INFINITY, MINUS_INFINITY)
    ],
    ("experiments", {"status": "done"}, "ck_experiments_status"),
    ("experiments", {"status": "completed"}, "ck_experiments_completed_at"),
    ("experiments", {"status": "failed"}, "ck_experiments_completed_at"),
    ("experiments", {"status": "cancelled"}, "ck_experiments_completed_at"),
    ("experiments", {"status": "running", "completed_at": END}, "ck_experiments_completed_at"),
    ("experiments", {"optimization_run_id": "none"}, "fk_experiments_optimization_run_id"),
    ("optimization_runs", {"method": "guess"}, "ck_optimization_runs_method"),
    ("optimization_runs", {"objective": "win"}, "ck_optimization_runs_objective"),
    ("optimization_runs", {"status": "paused"}, "ck_optimization_runs_status"),
    ("optimization_runs", {"status": "completed"}, "ck_optimization_runs_completed_at"),
    ("optimization_runs", {"num_experiments": -1}, "ck_optimization_runs_num_experiments"),
    ("optimization_runs", {"best_experiment_id": "none"}, "fk_optimization_runs_best_experiment_id"),
    ("ai_queries", {"selected_model": "ultra"}, "ck_ai_queries_selected_model"),
    ("ai_queries", {"estimated_cost_usd": "0.1"}, "ck_ai_queries_priced"),
    ("ai_queries", {"price_version": "2026-01"}, "ck_ai_queries_priced"),
    ("ai_queries", {"estimated_cost_usd": "-0.1", "price_version": "v"}, "ck_ai_queries_cost"),
    ("ai_queries", {"experiment_id": "none"}, "fk_ai_queries_experiment_id"),
    *[
        case
        for model in ("flash", "pro")
        for case in [
            ("ai_queries", {f"{model}_latency_ms": -0.1}, f"ck_ai_queries_{model}_latency"),
            ("ai_queries", {f"{model}_latency_ms": NAN}, f"ck_ai_queries_{model}_latency"),
            ("ai_queries", {f"{model}_latency_ms": INFINITY}, f"ck_ai_queries_{model}_latency"),
            ("ai_queries", {f"{model}_tokens": -1}, f"ck_ai_queries_{model}_tokens_sign"),
            ("ai_queries", {f"{model}_input_tokens": -1}, f"ck_ai_queries_{model}_tokens_sign"),
            (
                "ai_queries",
                {f"{model}_tokens": 3, f"{model}_input_tokens": 1, f"{model}_output_tokens": 1},
                f"ck_ai_queries_{model}_tokens_sum",
            ),
        ]
    ],
    ("noise_estimates", {"method": "eye"}, "ck_noise_estimates_method"),
    ("noise_estimates", {"sample_size": 0}, "ck_noise_estimates_sample_size"),
    ("noise_estimates", {"noise_std": -0.1}, "ck_noise_estimates_interval"),
    ("noise_estimates", {"noise_std": 0.1}, "ck_noise_estimates_interval"),
    ("noise_estimates", {"confidence_interval_upper": INFINITY}, "ck_noise_estimates_interval"),
    ("noise_estimates", {"noise_std": NAN, "confidence_interval_upper": NAN}, "ck_noise_estimates_interval"),
    ("noise_estimates", {"confidence_interval_lower": -1.0}, "ck_noise_estimates_interval"),
    ("routing_decisions", {"selected_method": "coin"}, "ck_routing_decisions_method"),
    ("routing_decisions", {"confidence": 1.01}, "ck_routing_decisions_confidence"),
    ("routing_decisions", {"confidence": NAN}, "ck_routing_decisions_confidence"),
    ("backfill_jobs", {"status": "queued"}, "ck_backfill_jobs_status"),
    ("backfill_jobs", {"start_block": -1, "current_block": -2}, "ck_backfill_jobs_range"),
    ("backfill_jobs", {"start_block": 10, "current_block": 9}, "ck_backfill_jobs_range"),
    ("backfill_jobs", {"current_block": -2}, "ck_backfill_jobs_current_block"),
    ("backfill_jobs", {"current_block": 10}, "ck_backfill_jobs_current_block"),
    ("backfill_jobs", {"status": "failed"}, "ck_backfill_jobs_completed_at"),
    ("backfill_jobs", {"status": "paused", "completed_at": END}, "ck_backfill_jobs_completed_at"),
    ("backfill_jobs", {"status": "completed", "current_block": 9}, "ck_backfill_jobs_completed_at"),
    ("backfill_jobs", {"status": "completed", "completed_at": END}, "ck_backfill_jobs_completed"),
    ("backfill_jobs", {"lease_owner": "w"}, "ck_backfill_jobs_lease"),
    ("backfill_jobs", {"lease_expires_at": END}, "ck_backfill_jobs_lease"),
    (
        "backfill_jobs",
        {"status": "paused", "lease_owner": "w", "lease_expires_at": END},
        "ck_backfill_jobs_leased_only_while_running",
    ),
    ("insight_feedback", {"rating": 0}, "chk_rating_range"),
    ("insight_feedback", {"rating": 6}, "chk_rating_range"),
    ("insight_feedback", {"flag_type": "boring"}, "ck_insight_feedback_flag_type"),
    ("insight_feedback", {"flag_reason": "why"}, "ck_insight_feedback_flag_reason"),
    ("insight_feedback", {"rating": None}, "ck_insight_feedback_says_something"),
    ("cache_trust", {"id": 2}, "ck_cache_trust_one_row"),
    ("idempotency_keys", {"fingerprint": b"\0" * 31}, "ck_idempotency_keys_fingerprint"),
    ("backup_verifications", {"verdict": "well"}, "ck_backup_verifications_verdict"),
    ("backup_verifications", {"verdict": "failed"}, "ck_backup_verifications_failed_by_code"),
    ("backup_verifications", {"ended_at": "2026-01-01T00:00:00+00:00"}, "ck_backup_verifications_times"),
    ("api_keys", {"digest": b"\0" * 31}, "ck_api_keys_digest"),
    ("api_keys", {"scopes": []}, "ck_api_keys_scopes"),
    ("api_keys", {}, "fk_api_keys_principal_id"),
]
ACCEPTED: list[tuple[str, Change]] = [
    *[(table, {}) for table in ROWS if table not in {"cache_trust", "api_keys"}],
    ("experiments", {"status": "failed", "completed_at": END, "result_value": 0.0, "id": "é" * 255}),
    ("optimization_runs", {"status": "cancelled", "completed_at": END, "best_value": -1.7e308}),
    ("ai_queries", {"flash_tokens": 3, "flash_input_tokens": 1, "flash_output_tokens": 2}),
    ("ai_queries", {"pro_tokens": 3}),
    ("ai_queries", {"estimated_cost_usd": "0.000000001", "price_version": "2026-01"}),
    ("backfill_jobs", {"status": "completed", "current_block": 9, "completed_at": END}),
    ("backfill_jobs", {"start_block": 2_147_483_647, "end_block": 2_147_483_647, "current_block": 2_147_483_646}),
    ("backfill_jobs", {"lease_owner": "w", "lease_expires_at": END}),
    ("insight_feedback", {"rating": None, "flag_type": "spam", "flag_reason": "'; DROP TABLE"}),
]


def insert(connection: Connection, table: str, change: Change) -> None:
    row = ROWS[table] | change
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


@pytest.mark.parametrize(("table", "change", "constraint"), REFUSED)
def test_the_database_refuses(table: str, change: Change, constraint: str, connection: Connection) -> None:
    with pytest.raises(IntegrityError) as caught:
        insert(connection, table, change)
    assert caught.value.orig.diag.constraint_name == constraint


@pytest.mark.parametrize(("table", "change"), ACCEPTED)
def test_the_database_accepts(table: str, change: Change, connection: Connection) -> None:
    insert(connection, table, change)


def test_every_check_is_met_by_a_case_here(connection: Connection) -> None:
    checks = connection.scalars(text("SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f')"))
    ours = {name for name in checks if name.startswith(("ck_", "chk_", "fk_"))}
    references_without_a_case = {
        "fk_noise_estimates_optimization_run_id",
        "fk_routing_decisions_noise_estimate_id",
        "fk_routing_decisions_optimization_run_id",
    }
    assert ours - references_without_a_case == {constraint for *_, constraint in REFUSED}


def test_one_feedback_a_user_and_insight(connection: Connection) -> None:
    insert(connection, "insight_feedback", {})
    with pytest.raises(IntegrityError, match="uq_insight_user_feedback"):
        insert(connection, "insight_feedback", {"rating": 1})


def test_a_deleted_best_experiment_leaves_its_run(connection: Connection) -> None:
    insert(connection, "experiments", {})
    insert(connection, "optimization_runs", {"best_experiment_id": "e"})
    connection.execute(text("DELETE FROM experiments"))
    assert connection.scalar(text("SELECT count(*) FROM optimization_runs WHERE best_experiment_id IS NULL")) == 1


# --- What the database computes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "current", "percentage"),
    [
        (0, 9, -1, 0.0),
        (0, 9, 4, 50.0),
        (0, 9, 9, 100.0),
        (700_000, 700_002, 700_000, 100 / 3),
        (0, 2_147_483_647, 2_147_483_647, 100.0),
        (5, 5, 4, 0.0),
    ],
)
def test_progress_is_computed_from_the_blocks(
    start: int, end: int, current: int, percentage: float, connection: Connection
) -> None:
    insert(connection, "backfill_jobs", {"start_block": start, "end_block": end, "current_block": current})
    assert connection.scalar(text("SELECT progress_percentage FROM backfill_jobs")) == pytest.approx(percentage)


def test_progress_cannot_be_written(connection: Connection) -> None:
    with pytest.raises(DBAPIError, match="progress_percentage"):
        insert(connection, "backfill_jobs", {"progress_percentage": 99.0})
    connection.rollback()
    insert(connection, "backfill_jobs", {})
    with pytest.raises(DBAPIError, match="progress_percentage"):
        connection.execute(text("UPDATE backfill_jobs SET progress_percentage = 99"))


def milliseconds(ident: uuid.UUID) -> int:
    return ident.int >> 80


def check_version_7(connection: Connection, function: str) -> None:
    before = time.time_ns() // 1_000_000
    idents = list(connection.scalars(text(f"SELECT {function}() FROM generate_series(1, 5000)")))
    after = time.time_ns() // 1_000_000
    assert {(ident.version, ident.variant) for ident in idents} == {(7, uuid.RFC_4122)}
    moments = [milliseconds(ident) for ident in idents]
    assert moments == sorted(moments)
    assert before <= moments[0] <= moments[-1] <= after
    # Nothing but the moment and the version is the same in all of them.
    assert len(set(idents)) == 5000
    for bit in set(range(80)) - {76, 77, 78, 79, 62, 63}:
        assert len({ident.int >> bit & 1 for ident in idents}) == 2, bit


def test_ids_are_of_version_7_and_ordered_by_time(connection: Connection) -> None:
    check_version_7(connection, "uuid7")
    first = connection.scalar(text("SELECT uuid7()"))
    connection.execute(text("SELECT pg_sleep(0.002)"))
    assert connection.scalar(text("SELECT uuid7()")) > first


def test_ids_are_the_same_kind_before_postgresql_18(connection: Connection) -> None:
    migration = runpy.run_path(str(ROOT / "migrations/versions/0001_platform.py"))
    fallback = migration["UUID7"].partition("ELSE")[2].partition("END IF")[0]
    assert "gen_random_uuid" in fallback
    connection.execute(text(fallback.replace("FUNCTION uuid7()", "FUNCTION fallback_uuid7()")))
    check_version_7(connection, "fallback_uuid7")


def test_moments_are_moments_and_not_local_times(connection: Connection) -> None:
    insert(connection, "system_metrics", {"timestamp": "2026-07-01T00:30:00+02:00"})
    moment = connection.scalar(text("SELECT timestamp FROM system_metrics"))
    assert moment == dt.datetime(2026, 6, 30, 22, 30, tzinfo=dt.UTC)
