"""utxoIQ: backfill jobs, feedback on insights, metrics."""
