"""Rows of the platform's own tables, as a laboratory and an indexer would leave them."""

from sqlalchemy import Engine, text

from runtime.settings import OWNER_ROLE

ROWS = (
    """INSERT INTO optimization_runs (id, name, method, objective, search_space, num_experiments, status, created_by)
    SELECT 'run-' || n, 'ALD of TiO2, campaign ' || n, 'bayesian_optimization', 'maximize',
        '{"temperature": {"min": 150, "max": 350}}', 100, 'running', 'chemist-' || n || '@example.com'
    FROM generate_series(1, 5) AS n""",
    """INSERT INTO experiments (id, name, status, parameters, result_value, created_at, started_at, completed_at,
        created_by, optimization_run_id)
    SELECT 'exp-' || lpad(n::text, 6, '0'), 'TiO2 film ' || n, 'completed',
        jsonb_build_object('temperature', 150 + n % 200), n * 37 % 1000 / 1731.0,
        moment, moment, moment + interval '1 minute', 'chemist-1@example.com', 'run-' || 1 + n % 5
    FROM (SELECT n, now() - n * interval '97 seconds' AS moment FROM generate_series(1, 500) AS n) AS numbered""",
    """INSERT INTO insight_feedback (insight_id, user_id, rating, comment)
    SELECT 'insight-' || n % 20, 'user-' || n, 1 + n % 5, 'comment ' || n FROM generate_series(1, 300) AS n""",
    """INSERT INTO system_metrics (service_name, metric_type, metric_value, unit, "timestamp")
    SELECT 'ingest', 'latency', n % 97 / 7.0, 'ms', now() - n * interval '1 second'
    FROM generate_series(1, 1000) AS n""",
)


def fill(engine: Engine) -> None:
    """Put them in, and let PostgreSQL take stock of them.

    Args:
        engine: of a login that may become the owner.
    """
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
        for statement in ROWS:
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.exec_driver_sql("ANALYZE")
