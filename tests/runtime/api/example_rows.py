"""The rows that the documentation's examples speak of, so that each example can be called."""

import json
from typing import Any

from sqlalchemy import Connection, text

from runtime.db.metadata import metadata
from runtime.systems.ard import examples as ard
from runtime.systems.utxoiq import examples as utxoiq

# Whose key calls: the examples' user.
SUBJECT = utxoiq.FEEDBACK["user_id"]


def _another(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"} | changes


ROWS: dict[str, list[dict[str, Any]]] = {
    # Its best experiment comes after it.
    "optimization_runs": [{**ard.RUN, "best_experiment_id": None}],
    "experiments": [ard.EXPERIMENT, {**ard.EXPERIMENT, "id": ard.RUN["best_experiment_id"]}],
    "ai_queries": [ard.AI_QUERY],
    "noise_estimates": [ard.NOISE_ESTIMATE],
    "routing_decisions": [ard.ROUTING_DECISION],
    "backfill_jobs": [utxoiq.CLAIMED_JOB],
    "insight_feedback": [
        utxoiq.FEEDBACK,
        *(_another(utxoiq.FEEDBACK, user_id=user, rating=4, comment=None) for user in ("b", "c")),
        *(
            _another(utxoiq.FEEDBACK, insight_id=insight["insight_id"], user_id=f"user-{nth}", flag_type=flag_type)
            for insight in utxoiq.FLAGGED["insights"]
            for nth, flag_type in enumerate(insight["flag_types"] * 2)
        ),
    ],
    "system_metrics": [utxoiq.METRIC, _another(utxoiq.METRIC, metric_type="cpu", metric_value=91.5)],
}


def put_back(connection: Connection) -> None:
    """Make the tables have these rows and no others."""
    connection.execute(text(f"TRUNCATE {', '.join(ROWS)}"))
    for table, rows in ROWS.items():
        stored = {column.name for column in metadata.tables[table].columns if column.computed is None}
        for row in rows:
            names = ", ".join(name for name in row if name in stored)
            statement = (
                f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_populate_record(CAST(NULL AS {table}), "
            )
            connection.execute(text(f"{statement} CAST(:row AS jsonb))"), {"row": json.dumps(row)})
    connection.execute(
        text("UPDATE optimization_runs SET best_experiment_id = :best"), {"best": ard.RUN["best_experiment_id"]}
    )
