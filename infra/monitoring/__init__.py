"""What is looked at: metrics, alerts and panels as tables, which components turn into resources."""
