"""What the measurements read: experiments of a laboratory, and the feedback on an insight."""

from sqlalchemy import Engine, text

INSIGHT = "insight-1"
EXPERIMENTS_A_RUN = 100

_RUNS = """
INSERT INTO optimization_runs (id, name, description, method, objective, search_space, config, num_experiments, status,
    created_at, started_at, completed_at, created_by)
SELECT 'run-' || n, 'ALD of TiO2, campaign ' || n, 'Growth per cycle against temperature and purge time',
    'bayesian_optimization', 'maximize',
    '{"temperature": {"min": 150, "max": 350}, "pressure": {"min": 0.1, "max": 2.0}}',
    '{"acquisition": "expected_improvement", "batch_size": 4}', :each, 'completed',
    timestamptz '2026-01-01' + n * interval '1 day', timestamptz '2026-01-01' + n * interval '1 day',
    timestamptz '2026-01-02' + n * interval '1 day', 'chemist-' || n % 7 || '@example.com'
FROM generate_series(0, (:rows - 1) / :each) AS n
"""

_EXPERIMENTS = """
INSERT INTO experiments (id, name, description, status, parameters, config, result_value, result_data, result_uri,
    created_at, started_at, completed_at, created_by, optimization_run_id)
SELECT 'exp-' || lpad(n::text, 6, '0'), 'TiO2 film ' || n, 'Wafer ' || n % 25 || ' of lot ' || n / 25, 'completed',
    jsonb_build_object('temperature', round(150 + n * 7 % 2000 / 10.0, 1),
        'pressure', round(0.1 + n * 13 % 190 / 100.0, 2),
        'purge_s', 5 + n % 20, 'precursor', 'TiCl4', 'cycles', 200 + n % 300),
    '{"method": "ellipsometry", "duration": 60, "chamber": "B2"}', 0.4 + n * 37 % 1000 / 1731.0,
    jsonb_build_object('thickness_nm', round(n * 11 % 500 / 10.0, 1),
        'points', (SELECT jsonb_agg(round(random()::numeric, 4)) FROM generate_series(1, 9))),
    'gs://laboratory/experiments/exp-' || n || '/result.json',
    moment, moment + interval '3 seconds', moment + interval '64.25 seconds',
    'chemist-' || n % 7 || '@example.com', 'run-' || n / :each
FROM (SELECT n, timestamptz '2026-01-01' + n * interval '97.013 seconds' AS moment
      FROM generate_series(0, :rows - 1) AS n) AS numbered
"""

_FEEDBACK = """
INSERT INTO insight_feedback (insight_id, user_id, rating, comment)
SELECT :insight, 'user-' || n, 1 + n % 5, 'comment ' || n FROM generate_series(1, 200) AS n
"""


def fill(engine: Engine, *, experiments: int) -> None:
    """Put the rows in, and let PostgreSQL take stock of them."""
    with engine.begin() as connection:
        connection.execute(text(_RUNS), {"rows": experiments, "each": EXPERIMENTS_A_RUN})
        connection.execute(text(_EXPERIMENTS), {"rows": experiments, "each": EXPERIMENTS_A_RUN})
        connection.execute(text(_FEEDBACK), {"insight": INSIGHT})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def experiment_ids(experiments: int) -> list[str]:
    """A hundred of them, spread over the table."""
    step = max(1, experiments // 100)
    return [f"exp-{n:06}" for n in range(0, experiments, step)]
